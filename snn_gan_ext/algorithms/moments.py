"""Maximum likelihood beside the moments of the free run, for networks that run away or fall silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.state import NetworkState, check_trials, set_gradients
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators.estimators import straight_through_error
from snn_gan_ext.types import LINEAR, Batch, FreeRunner, Learner, Schedule, setting
from snn_gan_ext.validation import at_least, between, check_parts, whole

__all__ = ["FreeRun", "MomentMatching", "MomentState", "moment_slope"]


def moment_slope(spikes: Tensor, real: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]) -> Tensor:
    r"""Return the change of the log-ratio of moments by each spike, ``[T, B, N]``.

    .. math:: a_i + g(K_{-i} + 1) - g(K_{-i}), \qquad
        a_i = \operatorname{logit} r_i - \operatorname{logit} r'_i, \quad g(k) = \log P(k) - \log P'(k)

    with the rates r and the distribution P of the population count in the data, and r', P' in the free
    run; :math:`K_{-i}` counts the other neurons. It is 0 on average where both agree.

    Args:
        spikes: Spikes of the free run ``[T, B, N]``.
        real: Rates ``[N]`` and shares of population counts ``[N + 1]`` of the data, above 0.
        found: Those of the free run.
    """
    others = (spikes.sum(2, keepdim=True) - spikes).long()
    ratio = real[1].log() - found[1].log()
    return torch.logit(real[0]) - torch.logit(found[0]) + ratio[others + 1] - ratio[others]


class FreeRun(nn.Module):
    """Running moments of data and free run, and the chains that go on from update to update.

    Args:
        network: Generator.
        chains: Number of chains.
        decay: Decay of the running moments.
    """

    def __init__(self, network: FreeRunner, chains: int, decay: float) -> None:
        super().__init__()
        neurons = network.network.sizes["readout"][0]
        self.decay, self.chains = decay, chains
        self.register_buffer("seen", torch.zeros(()))
        for name in ("real", "found"):
            self.register_buffer(f"{name}_rates", torch.full((neurons,), 0.5))
            self.register_buffer(f"{name}_counts", torch.full((neurons + 1,), 1.0))
        self.kinds: dict[str, Any] = {}  # the named tuple of each layer's state
        for name, layer in network.network.glm_layers():
            sizes = network.network.received_size(name)
            silence = layer.initial_state(layer.bias.new_zeros(chains, *sizes))
            for part, value in silence._asdict().items():
                self.register_buffer(f"{name}_{part}", value)
            self.kinds[name] = type(silence)
        self.to(next(network.parameters()).device)

    @property
    def states(self) -> dict[str, Any]:
        """State of each layer in all chains."""
        return {
            name: kind(*(self.get_buffer(f"{name}_{part}") for part in kind._fields))
            for name, kind in self.kinds.items()
        }

    def go_on(self, states: Mapping[str, Any], restart: Tensor | None = None) -> None:
        """Keep the states of all chains, or of those that restart ``[chains]``."""
        for name, state in states.items():
            for part, value in state._asdict().items():
                kept = self.get_buffer(f"{name}_{part}")
                axis = 0 if part == "mem" else 1
                value = value.narrow(axis, 0, self.chains)
                if restart is not None:
                    shape = [-1 if place == axis else 1 for place in range(value.dim())]
                    value = torch.where(restart.reshape(shape), value, kept)
                kept.copy_(value)

    def follow(self, name: str, spikes: Tensor) -> None:
        """Move the running moments ``real`` or ``found`` towards those of spikes ``[T, B, N]``."""
        neurons, steps = spikes.shape[2], spikes[..., 0].numel()
        counts = torch.bincount(spikes.sum(2).long().flatten(), minlength=neurons + 1)
        least = 0.5 / steps
        rates = spikes.mean((0, 1)).clamp(least, 1 - least)
        counts = (counts + 0.5) / (steps + 0.5 * (neurons + 1))
        weight = max(1 - self.decay, 1 / (1 + float(self.get_buffer("seen"))))
        for moment, value in (("rates", rates), ("counts", counts)):
            self.get_buffer(f"{name}_{moment}").lerp_(value, weight)

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the running rates ``[N]`` and shares of population counts ``[N + 1]``."""
        return self.get_buffer(f"{name}_rates"), self.get_buffer(f"{name}_counts")


@dataclass
class MomentState(NetworkState[FreeRunner]):
    """State of training of one generator with its free run."""

    free_run: FreeRun = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class MomentMatching(Learner):
    r"""Ascent of the likelihood, and of the agreement of moments in the free run.

    Coupled neurons that were fitted by likelihood hear their own spikes when they run freely, and may
    run away or fall silent, which the likelihood of held-out data does not show. Each update adds two
    gradients: that of the likelihood of a batch, and the straight-through gradient of `moment_slope`,
    for rates and population count, on as many steps of the free run. Its chains go on from update to
    update, so that slow faults are seen; a share of them restarts from the batch.

    Attributes:
        updates: Length of the run in updates.
        lr: Adam's learning rate.
        moments: Weight of the moments beside the likelihood.
        chains: Number of chains, at most the trials of a batch.
        restarts: Probability that a chain restarts from data.
        decay: Decay of the running moments.
        ongoing: Whether trials are windows of ongoing activity, where the free run goes on. Otherwise
            each trial starts from silence.
        schedule: Factor on the learning rate over the run.

    Raises:
        InputError: If a setting is out of its range.
    """

    lr: float = setting(2e-3, at_least(0))
    moments: float = setting(1.0, at_least(0))
    chains: int = setting(32, whole(2))
    restarts: float = setting(0.2, between(0, 1))
    decay: float = setting(0.95, between(0, 1, closed="left"))
    ongoing: bool = True
    schedule: Schedule = LINEAR

    def init(self, network: FreeRunner, rng: torch.Generator) -> MomentState:
        """Return the state of a new run.

        Args:
            network: Generator without hidden neurons, such as `PopulationGenerator`.
            rng: Random source of all noise of the run, on the network's device.

        Raises:
            InputError: If the network is another one, or has hidden neurons.
        """
        check_parts("network", network, "a spiking generator", "network", "noise", "observe")
        if (layers := list(network.network.layers)) != ["readout"]:
            cure = "take MaximumLikelihood, then SpikeGAN"
            raise InputError("network", expected="read-out neurons alone", got=f"{layers}", cure=cure)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr)
        return MomentState(network, optimizer, rng, free_run=FreeRun(network, self.chains, self.decay))

    def update(self, state: MomentState, batch: Batch) -> dict[str, float]:
        """Train the network on one batch, in place.

        Args:
            state: State from `init`.
            batch: Real trials ``[T, B, N]``; labels are None where the network uses none.

        Returns:
            Mean log-likelihood of a trial, and mean rates of data and free run, by name.

        Raises:
            InputError: If the batch does not fit the network, or has fewer trials than chains.
        """
        check_trials(batch)
        trials = batch.spikes.shape[1]
        if trials < self.chains:
            raise InputError("batch", expected=f"{self.chains} trials or more", got=f"{trials}")
        state.optimizer.param_groups[0]["lr"] = self.lr * self.schedule.at(state.updates, self.updates)
        network, free = state.network, state.free_run
        observed = network.observe(batch.spikes, batch.labels, network.noise(trials, state.rng))
        visible = observed.runs["readout"]
        uphill = network.gradients(observed, {"readout": visible.score})
        labels = None if batch.labels is None else batch.labels[: self.chains]
        noise = network.noise(self.chains, state.rng)
        drawn = network.sample(labels, noise, self._states(state, observed.runs["readout"].state))
        free.go_on({name: run.state for name, run in drawn.runs.items()})
        free.follow("real", visible.spikes)
        free.follow("found", drawn.runs["readout"].spikes)
        free.get_buffer("seen").add_(1)
        run = drawn.runs["readout"]
        slope = moment_slope(run.spikes, free.moments("real"), free.moments("found"))
        error = self.moments * straight_through_error(slope, run.potentials)
        repair = network.gradients(drawn, {"readout": error})
        set_gradients(network, {n: x / trials + repair[n] / self.chains for n, x in uphill.items()})
        state.optimizer.step()
        state.updates += 1
        return {
            "log_likelihood": float(visible.log_likelihood.mean()),
            "real_rate": float(free.moments("real")[0].mean()),
            "free_rate": float(free.moments("found")[0].mean()),
        }

    def _states(self, state: MomentState, after_data: Any) -> dict[str, Any] | None:
        """Return the states from which the chains go on; None for trials from silence."""
        if not self.ongoing:
            return None
        device = next(state.network.parameters()).device
        restart = torch.rand(self.chains, generator=state.rng, device=device) < self.restarts
        if state.updates == 0:
            restart.fill_(True)
        state.free_run.go_on({"readout": after_data}, restart)
        return state.free_run.states
