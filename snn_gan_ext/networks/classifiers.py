"""Spiking classifiers, trained by maximum likelihood, as in Table I."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.state import GLMSample, GLMState
from snn_gan_ext.networks.glm import GeneratorSample, GLMNetwork
from snn_gan_ext.networks.labels import one_hot

__all__ = ["SpikingClassifier"]


class SpikingClassifier(nn.Module):
    """The SNN classifier of the SpikeGAN paper, section VIII-B: inputs, hidden and label neurons.

    In training the label neurons are clamped: the label's neuron fires at every step, the others never.
    The predicted class is the label neuron with the highest mean firing probability.

    Args:
        features: Number of exogenous inputs ``N``.
        classes: Number of label neurons.
        num_steps: Number of time steps ``T`` of a trial.
        hidden: Number of hidden neurons.
        basis: Temporal basis ``[K, L]`` of synapses and feedback.
        weight_std: Standard deviation of the initial weights; by default as in `GLMLayer`.
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
        self.classes, self.num_steps, self.hidden, self.hidden_delay = classes, num_steps, hidden, 1
        sizes = {"hidden": (features, hidden), "readout": (features + hidden, classes)}
        self.network = GLMNetwork(
            inputs={"input": features},
            layers={
                name: GLMLayer(*size, basis=basis, weight_std=weight_std, rng=rng)
                for name, size in sizes.items()
            },
            wiring={"hidden": ("input",), "readout": ("input", "hidden")},
        )

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw uniforms in [0, 1) ``[T, B, size]`` for the hidden and the label neurons."""
        device = next(self.parameters()).device
        return {
            name: torch.rand(self.num_steps, batch, size, generator=rng, device=device)
            for name, size in (("hidden", self.hidden), ("readout", self.classes))
        }

    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        """Clamp the label neurons and draw the hidden ones.

        Args:
            spikes: Inputs ``[T, B, N]``, or some steps of them.
            labels: Whole numbers ``[B]``. With one class they may be None.
            noise: Noise from `noise`, or the same steps of it.
            states: State of each layer before the first step; silence by default.
        """
        target = one_hot(labels, self.classes, spikes.shape[1]).to(spikes).expand(len(spikes), -1, -1)
        runs = self.network.sample({"input": spikes}, noise, {"readout": target}, states)
        return GeneratorSample(target, runs)

    def gradients(
        self, sample: GeneratorSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients by parameter name; see `GLMNetwork.gradients`."""
        gradients = self.network.gradients(sample.runs, errors, per_sample=per_sample)
        return {f"network.{name}": gradient for name, gradient in gradients.items()}

    def forward(self, spikes: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return the mean firing probability of the label neurons ``[B, classes]``.

        Args:
            spikes: Inputs ``[T, B, N]``.
            rng: Random source of the hidden and the label neurons' noise.
        """
        return torch.sigmoid(self.run(spikes, rng).potentials).mean(0)

    def run(self, spikes: Tensor, rng: torch.Generator | None = None) -> GLMSample:
        """Return the run of the label neurons, not clamped, for inputs ``[T, B, N]``."""
        noise = self.noise(spikes.shape[1], rng)
        return self.network.sample({"input": spikes}, noise)["readout"]
