"""Maximum likelihood first, SpikeGAN after it: the way to train coupled generators."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from snn_gan_ext.algorithms.gan import update_average
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.state import AdversarialState, NetworkState
from snn_gan_ext.types import Batch, Discriminator, Generator, Learner, Observer, setting
from snn_gan_ext.validation import between

LIKELIHOOD, ADVERSARIAL = MaximumLikelihood(), SpikeGAN()

__all__ = ["LikelihoodFirst", "LikelihoodFirstState"]


@dataclass
class LikelihoodFirstState(AdversarialState[Generator]):
    """State of adversarial training after maximum likelihood.

    Attributes:
        likelihood_optimizer: Optimiser of the generator's weights in the first part of the run.
    """

    likelihood_optimizer: torch.optim.Adam = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class LikelihoodFirst(Learner):
    """A first part of the run by maximum likelihood, the rest by SpikeGAN.

    Likelihood finds who hears whom quickly, and knows nothing of the free run. The discriminator then
    judges trials that the generator draws by itself.

    Attributes:
        updates: Length of the whole run in updates.
        share: Share of the run by maximum likelihood.
        likelihood: Algorithm of the first part; its own ``updates`` have no effect.
        adversarial: Algorithm of the second part; its own ``updates`` have no effect.
    """

    share: float = setting(0.3, between(0, 1, closed="neither"))
    likelihood: MaximumLikelihood = LIKELIHOOD
    adversarial: SpikeGAN = ADVERSARIAL

    @property
    def decode(self) -> Callable[[Tensor], Tensor]:
        """Map from spikes to the discriminator's input."""
        return self.adversarial.decode

    def init(
        self, generator: Generator, discriminator: Discriminator, rng: torch.Generator
    ) -> LikelihoodFirstState:
        """Return the state of a new run.

        Args:
            generator: Generator that can observe spikes, such as `PopulationGenerator`.
            discriminator: Network that returns logits ``[B]`` for decoded trials and labels.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If one of the two algorithms refuses the networks.
        """
        first = self.likelihood.init(_observer(generator), rng)
        parts = vars(self.adversarial.init(generator, discriminator, rng))
        return LikelihoodFirstState(**parts, likelihood_optimizer=first.optimizer)

    def update(self, state: LikelihoodFirstState, batch: Batch) -> dict[str, float]:
        """Train the generator, and in the second part the discriminator, in place.

        Args:
            state: State from `init`.
            batch: Real trials; labels are None where the networks use none.

        Returns:
            Metrics of the algorithm in charge, by name.

        Raises:
            InputError: If the batch does not fit the networks.
        """
        first = max(round(self.share * self.updates), 1)
        if state.updates < first:
            likelihood = replace(self.likelihood, updates=first)
            network, optimizer = _observer(state.generator), state.likelihood_optimizer
            metrics = likelihood.update(
                NetworkState(network, optimizer, state.rng, state.updates), batch
            )
            state.updates += 1
            if state.averaged is not state.generator:
                update_average(state.averaged, state.generator, 0.0, 1)
            return metrics
        adversarial = replace(self.adversarial, updates=max(self.updates - first, 1))
        state.updates -= first
        try:
            return adversarial.update(state, batch)
        finally:
            state.updates += first


def _observer(generator: Generator) -> Observer:
    return generator  # type: ignore[return-value] # MaximumLikelihood checks it
