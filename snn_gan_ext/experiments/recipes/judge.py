"""Judges of spike-train generators: how well do classifiers do that learned from them alone?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import Batch
from snn_gan_ext.coding.images import Labelled, rate_decode, rate_encode
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.metrics import classifiers, distributions
from snn_gan_ext.networks.classifiers import SpikingClassifier

__all__ = ["Sampler", "SpikeJudge"]

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""Draws spikes ``[T, B, N]`` for labels ``[B]``."""


@dataclass(frozen=True, kw_only=True)
class SpikeJudge:
    """Measures of a sampler of labelled spike trains, against real images that are rate-encoded.

    Attributes:
        train: real images that samplers may have learned from.
        real: real images to judge on, that nothing has learned from.
        time_steps: length ``T`` of a trial in time steps.
        seed: of the classifiers and of all draws.
        count: trials drawn to train the MLP.
        snn_steps: training steps of the spiking classifier, on fresh trials each.
        snn_hidden: its hidden neurons; the paper has 256.
        copies: encodings of each real image where distributions are compared.
    """

    train: Labelled
    real: Labelled
    time_steps: int
    seed: int
    count: int = 3000
    snn_steps: int = 1000
    snn_hidden: int = 256
    copies: int = 4

    @property
    def classes(self) -> int:
        return 1 + int(self.train.labels.max())

    def judge(self, draw: Sampler) -> dict[str, float]:
        """All measures.

        Returns:
            ``mlp_tstr`` on rates, ``snn_tstr`` by mean firing probability, ``snn_tstr_count`` by spike
            count, ``energy_distance`` and ``c2st`` of rates.
        """
        images = self._rates(draw, torch.arange(self.count) % self.classes, salt=31)
        test = self._pair(draw, self.real, salt=32)
        train = self._pair(draw, self.train, salt=34)
        return {
            "mlp_tstr": classifiers.tstr(images, test[0], self.seed),
            **self._spiking(draw),
            "energy_distance": distributions.energy_distance(*test),
            "c2st": distributions.classifier_two_sample_test(train, test, self.seed),
        }

    def real_sampler(self) -> Sampler:
        """Training images of the wanted classes, drawn at random and encoded afresh."""
        by_class = [torch.nonzero(self.train.labels == k).flatten() for k in range(self.classes)]

        def images(labels: Tensor, rng: torch.Generator) -> Tensor:
            places = torch.rand(len(labels), generator=rng)
            picks = [
                by_class[label][int(place * len(by_class[label]))]
                for label, place in zip(labels.tolist(), places.tolist(), strict=True)
            ]
            return self.train.images[torch.stack(picks)]

        return self.encoded(images)

    def encoded(self, images: Callable[[Tensor, torch.Generator], Tensor]) -> Sampler:
        """Rate-encodes what a sampler of images ``[B, N]`` draws for labels."""
        return lambda labels, rng: rate_encode(images(labels, rng), self.time_steps, rng=rng)

    def _spiking(self, draw: Sampler) -> dict[str, float]:
        weights, rng = self._rng(40), self._rng(41)
        network = SpikingClassifier(
            self.train.images.shape[1],
            self.classes,
            self.time_steps,
            hidden=self.snn_hidden,
            basis=exponential_basis(6, 2.0),
            rng=weights,
        )
        algorithm = MaximumLikelihood(updates=self.snn_steps)
        state = algorithm.init(network, rng)
        for _ in range(self.snn_steps):
            labels = torch.randint(self.classes, (100,), generator=rng)
            algorithm.update(state, Batch(draw(labels, rng), labels))
        labels = self.real.labels.repeat(self.copies)
        images = self.real.images.repeat(self.copies, 1)
        spikes = rate_encode(images, self.time_steps, rng=rng)
        run = network.run(spikes, rng)
        guesses = {
            "snn_tstr": torch.sigmoid(run.potentials).mean(0),
            "snn_tstr_count": run.spikes.sum(0),
        }
        return {
            name: float((guess.argmax(-1) == labels).float().mean()) for name, guess in guesses.items()
        }

    def _pair(self, draw: Sampler, real: Labelled, salt: int) -> tuple[Labelled, Labelled]:
        """Real images, encoded several times each, and as many samples of their labels; as rates."""
        labels = real.labels.repeat(self.copies)
        images = real.images.repeat(self.copies, 1)
        spikes = rate_encode(images, self.time_steps, rng=self._rng(salt))
        return Labelled(rate_decode(spikes), labels), self._rates(draw, labels, salt + 1)

    def _rates(self, draw: Sampler, labels: Tensor, salt: int) -> Labelled:
        return Labelled(rate_decode(draw(labels, self._rng(salt))), labels)

    def _rng(self, salt: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + 1000 * salt)
