"""Fit of a generator to recorded spike trains, in which the free run chooses."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from snn_gan_ext.algorithms.full_likelihood import FullLikelihood
from snn_gan_ext.algorithms.moments import MomentMatching, MomentState
from snn_gan_ext.algorithms.state import NetworksState
from snn_gan_ext.types import Batch, FreeRunner, Learner, setting
from snn_gan_ext.validation import whole

LARGEST = 1e9
LIKELIHOOD = FullLikelihood(iterations=20, drive_penalty=5e-4)
MOMENTS = MomentMatching(updates=50, lr=3e-3)

__all__ = ["FitBatch", "FitState", "PopulationFit"]


class FitBatch(NamedTuple):
    """All trials to learn from, and the judge of a fit.

    Attributes:
        train: Trials ``[T, B, N]``, with labels if any.
        judge: Function of a generator: disagreement of its free run with held-out trials, 0 at best.
    """

    train: Batch
    judge: Callable[[Any], float]


@dataclass
class FitState(NetworksState):
    """State of a fit.

    Attributes:
        generator: Generator in training.
        averaged: Generator to draw from: the one whose free run has agreed best so far.
        moments: The generator in training again, with its free run.
        score: Disagreement of ``averaged``.
    """

    generator: FreeRunner
    averaged: FreeRunner
    moments: MomentState
    rng: torch.Generator
    score: float = float("inf")
    updates: int = 0

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only."""
        best = self.averaged.state_dict()
        return {
            "updates": self.updates,
            "rng": self.rng.get_state(),
            "moments": self.moments.state_dict(),
            "averaged": best,
            "score": self.score if self.updates else 0.0,  # infinity would stand for divergence
        }

    def load_state_dict(self, saved: Any) -> None:
        """Restore the values that `state_dict` returned."""
        self.moments.load_state_dict(saved["moments"])
        self.averaged.load_state_dict(saved["averaged"])
        self.updates = saved["updates"]
        self.score = float(saved["score"]) if self.updates else float("inf")
        self.rng.set_state(saved["rng"].cpu())


@dataclass(frozen=True, kw_only=True)
class PopulationFit(Learner):
    """Penalised likelihood, from the strongest penalty of coupling to the weakest, then moments.

    After each update the generator runs freely, and a judge compares it with held-out trials. The best
    of all is kept. In the first part of the run an update is some iterations of L-BFGS, in the second
    some updates of `MomentMatching`, from the best generator of the first.

    Attributes:
        updates: Length of the run in updates.
        penalties: Penalties of coupling, each for an equal share of the first part.
        moment_updates: Number of updates at the end that match moments.
        likelihood: Settings of the likelihood; its iterations are those of one update.
        moments: Settings of the moments; its updates are those of one update here.
    """

    updates: int = setting(16, whole(1))
    penalties: tuple[float, ...] = (0.03, 0.01, 3e-3, 1e-3, 3e-4)
    moment_updates: int = setting(6, whole(0))
    likelihood: FullLikelihood = LIKELIHOOD
    moments: MomentMatching = MOMENTS

    def init(self, network: FreeRunner, rng: torch.Generator) -> FitState:
        """Return the state of a new run.

        Args:
            network: Generator of read-out neurons alone, such as `PopulationGenerator`.
            rng: Random source of all noise of the run, on the network's device.

        Raises:
            InputError: If the network is of another kind.
        """
        averaged = copy.deepcopy(network).requires_grad_(False)
        return FitState(network, averaged, self.moments.init(network, rng), rng)

    def update(self, state: FitState, batch: FitBatch) -> dict[str, float]:
        """Make one update in place, and keep the generator if its free run is the best so far.

        Args:
            state: State from `init`.
            batch: All trials and the judge.

        Returns:
            Mean log-likelihood of a step or of a trial, the penalty, and the disagreement, by name.

        Raises:
            InputError: If the trials do not fit the generator.
        """
        first = max(self.updates - self.moment_updates, 0)
        if state.updates < first:
            penalty = self.penalties[state.updates * len(self.penalties) // first]
            fit = replace(self.likelihood, coupling_penalty=penalty)
            metrics = {"log_likelihood": fit.fit(state.generator, batch.train), "penalty": penalty}
        else:
            if state.updates == first > 0:
                state.generator.load_state_dict(state.averaged.state_dict())
            metrics = self._match(state, batch.train, state.updates - first)
        score = batch.judge(state.generator)
        score = score if math.isfinite(score) else LARGEST  # of a free run of silence, say
        if score < state.score:
            state.score = score
            state.averaged.load_state_dict(state.generator.state_dict())
        state.updates += 1
        return {**metrics, "disagreement": score, "best": state.score}

    def _match(self, state: FitState, train: Batch, part: int) -> dict[str, float]:
        """Match moments for one update of the fit."""
        every = self.moments.updates
        algorithm = replace(self.moments, updates=every * self.moment_updates)
        trials = train.spikes.shape[1]
        metrics: dict[str, float] = {}
        for _ in range(every):
            size = (min(max(2 * self.moments.chains, 64), trials),)
            picks = torch.randint(trials, size, generator=state.rng, device=state.rng.device)
            labels = None if train.labels is None else train.labels[picks]
            metrics = algorithm.update(state.moments, Batch(train.spikes[:, picks], labels))
        return metrics
