"""Spiking classifiers, trained by maximum likelihood, as in Table I."""

from collections.abc import Mapping

import torch
from torch import Tensor

from snn_gan_ext.functional import bases
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.state import GLMSample, GLMState
from snn_gan_ext.networks.glm import GeneratorSample, GLMNetwork, ReadoutNetwork
from snn_gan_ext.networks.labels import one_hot
from snn_gan_ext.validation import check_tensor

__all__ = ["SpikingClassifier"]


class SpikingClassifier(ReadoutNetwork):
    """The SNN classifier of the SpikeGAN paper, section VIII-B: inputs, hidden and label neurons.

    In training the label neurons are clamped: the label's neuron fires at every step, the others never.
    The predicted class is the label neuron with the highest mean firing probability.

    Args:
        features: Number of exogenous inputs ``N``.
        classes: Number of label neurons.
        num_steps: Number of time steps ``T`` of a trial.
        hidden: Number of hidden neurons.
        basis: Temporal basis ``[K, L]`` of synapses and feedback.
        weight_std: Standard deviation of the initial weights; by default ``1 / sqrt(I sum(basis^2))``.
        rng: Random source of the initial weights.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        num_steps: int,
        *,
        hidden: int = 256,
        basis: Tensor,
        weight_std: float | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.num_steps = classes, num_steps

        def layer(inputs: int, outputs: int) -> GLMLayer:
            std = bases.unit_std(inputs, basis) if weight_std is None else weight_std
            return GLMLayer(inputs, outputs, basis=basis, weight_std=std, bias_init=-1.0, rng=rng)

        self.network = GLMNetwork(
            {"input": features},
            {"hidden": layer(features, hidden), "readout": layer(features + hidden, classes)},
            {"hidden": ("input",), "readout": ("input", "hidden")},
        )

    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        """Clamp the label neurons for inputs ``[T, B, N]``; see `NetworkGenerator.observe`."""
        check_tensor("spikes", spikes)
        target = one_hot(labels, self.classes, spikes.shape[1]).to(spikes).expand(len(spikes), -1, -1)
        runs = self.network.sample({"input": spikes}, noise, {"readout": target}, states)
        return GeneratorSample(target, runs)

    def forward(self, spikes: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return the mean firing probability of the label neurons ``[B, classes]``; see `run`."""
        return torch.sigmoid(self.run(spikes, rng).potentials).mean(0)

    def run(self, spikes: Tensor, rng: torch.Generator | None = None) -> GLMSample:
        """Return the run of the label neurons, not clamped, for inputs ``[T, B, N]``."""
        check_tensor("spikes", spikes)
        noise = self.noise(spikes.shape[1], rng)
        return self.network.sample({"input": spikes}, noise)["readout"]
