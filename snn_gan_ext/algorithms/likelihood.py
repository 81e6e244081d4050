"""Maximum-likelihood training of GLM networks with hidden neurons (SpikeGAN paper, appendix A)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.spikegan import Batch, Sample
from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import likelihood
from snn_gan_ext.estimators.likelihood import Signal
from snn_gan_ext.functional import glm
from snn_gan_ext.settings import at_least, between, check_settings, one_of, whole

__all__ = ["LikelihoodState", "MaximumLikelihood"]


class Observer(Protocol):
    """What `MaximumLikelihood` asks of a network; the layer named ``readout`` is the visible one.

    Noise with three axes ``[T, B, size]`` is drawn for each step, other noise once a trial.
    """

    num_steps: int
    hidden_delay: int

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]: ...
    def observe(
        self,
        spikes: Tensor,
        labels: Tensor,
        noise: Mapping[str, Tensor],
        states: Mapping[str, Any] | None = None,
    ) -> Any: ...
    def gradients(self, sample: Any, errors: Mapping[str, Tensor]) -> dict[str, Tensor]: ...


@dataclass
class LikelihoodState(NetworksState):
    """Everything that training changes: the network, its optimiser, the random source."""

    network: nn.Module
    optimizer: torch.optim.Adam
    rng: torch.Generator
    updates: int = 0

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {"network": self.network, "optimizer": self.optimizer}


@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood:
    r"""Ascends :math:`E_h \log p(\upsilon \mid h)`, visible spikes given and hidden ones drawn.

    Visible neurons learn by their score (eq. 5), hidden ones by REINFORCE with a learning signal for
    each step (eq. 16-17), less that of the other trials.

    Attributes:
        updates: length of the run; the learning rate falls linearly over it.
        lr: Adam's learning rate.
        signal: what a hidden spike is credited with; see `snn_gan_ext.estimators.likelihood`.
        copies: hidden draws for each datum, which are each other's baseline.
        sparsity: weight of `sparsity_cost` in the signal.
        rate: wanted probability of a hidden spike a step, where ``sparsity`` is above 0.
        update_every: steps of a trial between two updates, each of which credits hidden spikes with
            what is visible before the next alone; 0 for one update a trial. With ``reward_to_go`` it
            has to be longer than a hidden spike's delay, or no hidden spike would be credited at all; 1
            with ``per_step`` is the paper's online rule.
        final_lr_fraction: what is left of the learning rate at the last step.

    Raises:
        InputError: if a setting has no meaning.

    References:
        SpikeGAN paper, appendix A; Jang et al. (2019), its [4].
    """

    updates: int
    lr: float = 3e-3
    signal: Signal = "reward_to_go"
    copies: int = 1
    sparsity: float = 0.0
    rate: float = 0.3
    update_every: int = 0
    final_lr_fraction: float = 0.05

    def __post_init__(self) -> None:
        check_settings(
            self,
            updates=whole(1),
            lr=at_least(0),
            signal=one_of(Signal),
            copies=whole(1),
            sparsity=at_least(0),
            rate=between(0, 1, closed="neither"),
            update_every=whole(0),
            final_lr_fraction=between(0, 1),
        )

    def init(self, network: nn.Module, rng: torch.Generator) -> LikelihoodState:
        """Pairs a fresh optimiser with the network.

        Args:
            network: a module that also is an `Observer`.
            rng: the seeded source of all noise of the run, on the network's device.
        """
        return LikelihoodState(network, torch.optim.Adam(network.parameters(), lr=self.lr), rng)

    def update(self, state: LikelihoodState, batch: Batch) -> dict[str, float]:
        """One step of ascent, in place.

        Args:
            state: from `init`.
            batch: real trials ``[T, B, N]`` with their labels.

        Returns:
            The batch's mean log-likelihood a trial and the hidden firing rate, by name.

        Raises:
            InputError: if the batch does not fit the network, or has fewer than two trials.
        """
        self._check(state, batch)
        spikes = torch.cat([batch.spikes] * self.copies, 1)
        labels = batch.labels.repeat(self.copies)
        network: Any = state.network
        noise = network.noise(len(labels), state.rng)
        self._set_learning_rate(state)
        log_likelihood, hidden_rate, states = 0.0, 0.0, None
        for now in self._windows(len(spikes)):
            noise_now = {name: x[now] if x.dim() > 2 else x for name, x in noise.items()}
            sample = network.observe(spikes[now], labels, noise_now, states)
            states = {name: run.state for name, run in sample.runs.items()}
            log_p = self._ascend(state, sample)
            log_likelihood += float(log_p.sum(0).mean())
            hidden = [run.spikes.mean() for name, run in sample.runs.items() if name != "readout"]
            hidden_rate += sum(map(float, hidden)) / max(len(hidden), 1) * len(log_p) / len(spikes)
        state.updates += 1
        return {"log_likelihood": log_likelihood, "hidden_rate": hidden_rate}

    def _check(self, state: LikelihoodState, batch: Batch) -> None:
        """All of the batch before any of it is learned from."""
        network: Any = state.network
        if len(batch.spikes) != network.num_steps:
            raise InputError(
                "batch", expected=f"trials of {network.num_steps} steps", got=f"{len(batch.spikes)}"
            )
        if not bool(((batch.spikes == 0) | (batch.spikes == 1)).all()):
            raise InputError("batch", expected="spikes of 0 and 1", got="other values, or NaN")
        delay = network.hidden_delay
        if self.signal == "reward_to_go" and 0 < self.update_every <= delay:
            raise InputError(
                "update_every",
                expected=f"more than the {delay} step(s) until a hidden spike is heard, or 0",
                got=f"{self.update_every}",
                cure="update less often, or take signal='per_step'",
            )

    def _ascend(self, state: LikelihoodState, sample: Sample) -> Tensor:
        """Changes the parameters; returns the visible log-likelihood ``[T, B]`` before."""
        network: Any = state.network
        visible = sample.runs["readout"]
        log_p = glm.step_log_likelihood(visible.spikes, visible.potentials)
        gradients = network.gradients(sample, self.errors(sample, log_p, network.hidden_delay))
        for name, parameter in state.network.named_parameters():
            if parameter.requires_grad:
                parameter.grad = -gradients[name] / log_p.shape[1]
        state.optimizer.step()
        return log_p

    def _windows(self, steps: int) -> list[slice]:
        width = self.update_every or steps
        return [slice(start, start + width) for start in range(0, steps, width)]

    def _set_learning_rate(self, state: LikelihoodState) -> None:
        progress = min(state.updates / self.updates, 1.0)
        rate = self.lr * (1.0 - (1.0 - self.final_lr_fraction) * progress)
        state.optimizer.param_groups[0]["lr"] = rate

    def errors(self, sample: Sample, log_p: Tensor, delay: int) -> dict[str, Tensor]:
        """The post-synaptic error ``[T, B, N]`` of each layer.

        Args:
            sample: what the network observed and drew.
            log_p: log-likelihood of each step's visible spikes ``[T, B]``.
            delay: steps until a hidden spike reaches a visible neuron.
        """
        signal = likelihood.learning_signal(log_p, self.signal, delay)
        hidden = {name: run for name, run in sample.runs.items() if name != "readout"}
        if self.sparsity > 0:
            for run in hidden.values():
                cost = likelihood.sparsity_cost(run.spikes, run.potentials, self.rate)
                signal = signal - self.sparsity * likelihood.learning_signal(cost, self.signal, 0)
        credit = likelihood.advantage_over_others(signal, self.copies).unsqueeze(-1)
        errors = {name: credit * run.score for name, run in hidden.items()}
        return {**errors, "readout": sample.runs["readout"].score}
