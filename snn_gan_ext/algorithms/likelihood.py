"""Maximum-likelihood training of GLM networks with hidden neurons (SpikeGAN paper, appendix A)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms.state import NetworkState, check_trials, set_gradients
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import likelihood
from snn_gan_ext.estimators.likelihood import Signal
from snn_gan_ext.functional import glm
from snn_gan_ext.types import LINEAR, Batch, Learner, Observation, Observer, Schedule, setting
from snn_gan_ext.validation import (
    at_least,
    between,
    check_parts,
    whole,
)

__all__ = ["LikelihoodState", "MaximumLikelihood"]


LikelihoodState = NetworkState[Observer]


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood(Learner):
    r"""Ascent of :math:`E_h \log p(\upsilon \mid h)`, with visible spikes given and hidden ones drawn.

    Visible neurons learn by their score (eq. 5). Hidden neurons learn by REINFORCE, with a learning
    signal for each time step (eq. 16-17) minus that of the other trials.

    Attributes:
        updates: Length of the run in updates.
        lr: Adam's learning rate.
        signal: Credit of a hidden spike, see `snn_gan_ext.estimators.likelihood.learning_signal`.
        copies: Number of hidden draws for each trial. The copies are each other's baseline.
        sparsity: Weight of `snn_gan_ext.estimators.likelihood.sparsity_cost` in the signal.
        rate: Target probability of a hidden spike per time step. It acts if ``sparsity`` is above 0.
        update_every: Time steps between two weight changes within a trial; 0 for one change a trial.
            Each change credits hidden spikes with the visible ones before the next change only. With
            ``reward_to_go`` it must exceed the hidden delay. 1 with ``per_step`` is the paper's online
            rule.
        schedule: Factor on the learning rate over the run.
        group_lasso: Weight of a group lasso on coupling, the sum of norms over pairs of neurons, by a
            proximal step: filters that say little become zero as a whole. It is in units of Adam's
            step: near 1 it selects, far above it nothing is left.

    Raises:
        InputError: If a setting is out of its range.

    References:
        SpikeGAN paper, appendix A; Jang et al. (2019), its [4].
    """

    lr: float = setting(3e-3, at_least(0))
    signal: Signal = "reward_to_go"
    copies: int = setting(1, whole(1))
    sparsity: float = setting(0.0, at_least(0))
    rate: float = setting(0.3, between(0, 1, closed="neither"))
    update_every: int = setting(0, whole(0))
    schedule: Schedule = LINEAR
    group_lasso: float = setting(0.0, at_least(0))

    def init(self, network: Observer, rng: torch.Generator) -> LikelihoodState:
        """Return the state of a new run.

        Args:
            network: Network such as `ConditionalGenerator` or `SpikingClassifier`.
            rng: Random source of all noise of the run, on the network's device.

        Raises:
            InputError: If the network has no visible layer.
        """
        expected = "a network that can observe spikes, such as SpikingClassifier"
        check_parts("network", network, expected, "observe", "noise", "num_steps", "hidden_delay")
        return NetworkState(network, torch.optim.Adam(network.parameters(), lr=self.lr), rng)

    def update(self, state: LikelihoodState, batch: Batch) -> dict[str, float]:
        """Train the network on one batch, in place.

        Args:
            state: State from `init`.
            batch: Real trials ``[T, B, ...]``; labels are None where the network uses none.

        Returns:
            Mean log-likelihood of a trial and hidden firing rate, by name.

        Raises:
            InputError: If the batch does not fit the network, or has fewer than two trials.
        """
        self._check(state, batch)
        spikes = torch.cat([batch.spikes] * self.copies, 1)
        labels = None if batch.labels is None else batch.labels.repeat(self.copies)
        noise = state.network.noise(spikes.shape[1], state.rng)
        state.optimizer.param_groups[0]["lr"] = self.lr * self.schedule.at(state.updates, self.updates)
        log_likelihood, hidden_rate, states = 0.0, 0.0, None
        width = self.update_every or len(spikes)
        for start in range(0, len(spikes), width):
            now = slice(start, start + width)
            noise_now = {name: x[now] if x.dim() > 2 else x for name, x in noise.items()}
            observed = state.network.observe(spikes[now], labels, noise_now, states)
            states = {name: run.state for name, run in observed.runs.items()}
            log_p = self._ascend(state, observed)
            log_likelihood += float(log_p.sum(0).mean())
            hidden = [run.spikes.mean() for name, run in observed.runs.items() if name != "readout"]
            hidden_rate += sum(map(float, hidden)) / max(len(hidden), 1) * len(log_p) / len(spikes)
        state.updates += 1
        return {"log_likelihood": log_likelihood, "hidden_rate": hidden_rate}

    def errors(self, observed: Observation, log_p: Tensor, delay: int) -> dict[str, Tensor]:
        """Return the post-synaptic error ``[T, B, N]`` of each layer.

        Args:
            observed: Runs of all layers, with the read-out layer clamped to data.
            log_p: Log-likelihood of the visible spikes at each step ``[T, B]``.
            delay: Time steps from a hidden spike to the visible neurons.
        """
        signal = likelihood.learning_signal(log_p, self.signal, delay)
        hidden = {name: run for name, run in observed.runs.items() if name != "readout"}
        if self.sparsity > 0:
            for run in hidden.values():
                cost = likelihood.sparsity_cost(run.spikes, run.potentials, self.rate)
                signal = signal - self.sparsity * likelihood.learning_signal(cost, self.signal, 0)
        credit = likelihood.advantage_over_others(signal, self.copies).unsqueeze(-1)
        errors = {name: credit * run.score for name, run in hidden.items()}
        return {**errors, "readout": observed.runs["readout"].score}

    def _check(self, state: LikelihoodState, batch: Batch) -> None:
        """Check the whole batch before any part of it changes weights."""
        check_trials(batch)
        steps, delay = state.network.num_steps, state.network.hidden_delay
        if len(batch.spikes) != steps:
            raise InputError("batch", expected=f"trials of {steps} steps", got=f"{len(batch.spikes)}")
        if self.signal == "reward_to_go" and 0 < self.update_every <= delay:
            raise InputError(
                "update_every",
                expected=f"more than the {delay} step(s) from a hidden spike to the read-outs, or 0",
                got=f"{self.update_every}",
                cure="update less often, or take signal='per_step'",
            )

    def _ascend(self, state: LikelihoodState, observed: Observation) -> Tensor:
        """Change the parameters; return the visible log-likelihood ``[T, B]`` before the change."""
        network = state.network
        visible = observed.runs["readout"]
        log_p = glm.step_log_likelihood(visible.spikes, visible.potentials)
        gradients = network.gradients(observed, self.errors(observed, log_p, network.hidden_delay))
        trials = log_p.shape[1]
        set_gradients(network, {name: gradient / trials for name, gradient in gradients.items()})
        state.optimizer.step()
        if self.group_lasso > 0:
            self._shrink(network, self.group_lasso * state.optimizer.param_groups[0]["lr"])
        return log_p

    @staticmethod
    @torch.no_grad()
    def _shrink(network: Observer, amount: float) -> None:
        """Shorten each pair's coupling filter, the first axis of its weights, to zero at the least."""
        for name, weight in network.named_parameters():
            if name.endswith(".coupling") and weight.requires_grad:
                norms = weight.norm(dim=0, keepdim=True)
                weight.mul_(1 - (amount / norms).clamp(max=1).nan_to_num(1.0))
