"""Spiking generators: of images, of event frames, and of single neurons' trains."""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import bases
from snn_gan_ext.layers.conv import GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.networks.glm import GLMNetwork, NetworkGenerator
from snn_gan_ext.networks.labels import one_hot
from snn_gan_ext.validation import (
    check_finite,
    check_positive,
    check_setting,
    check_shapes,
    check_values,
    plain,
    whole,
)

__all__ = [
    "ConditionalGenerator",
    "ConvolutionalGenerator",
    "LabelledGenerator",
    "StepResponseGenerator",
]


class LabelledGenerator(NetworkGenerator):
    """A generator that receives a label and latent bits, both on throughout the trial.

    Attributes:
        classes: Number of labels. With one class, labels may be None.
        latent_bits: Number of fair coins, tossed once a trial.
        gate_latent: Whether a bit has one input for each class. Only that of the trial's class is on.
    """

    latent_bits: int
    gate_latent: bool = True

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw uniforms in [0, 1): ``latent`` ``[B, bits]``, and ``[T, B, *size]`` for each layer."""
        device = next(self.parameters()).device
        latent = torch.rand(batch, self.latent_bits, generator=rng, device=device)
        return {"latent": latent, **super().noise(batch, rng)}

    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's inputs: ``label`` and ``latent`` spikes ``[T, B, size]``."""
        num_steps, batch = noise["readout"].shape[:2]
        label, latent = one_hot(labels, self.classes, batch).to(noise["readout"]), noise["latent"]
        check_values("latent noise", latent, (latent >= 0) & (latent <= 1), "values in [0, 1)")
        bits = (latent < 0.5).to(label)
        if self.gate_latent:
            bits = (label.unsqueeze(-1) * bits.unsqueeze(-2)).flatten(1)
        return {"label": label.expand(num_steps, -1, -1), "latent": bits.expand(num_steps, -1, -1)}


class ConditionalGenerator(LabelledGenerator):
    """The spiking generator of the SpikeGAN paper, section VIII-A: label, hidden, read-out neurons.

    Latent bits let trials of one class differ in shape, not only in pixel noise. Hidden neurons receive
    the label (one-hot) and the bits. Read-out neurons receive those and the hidden neurons ("fully
    connected"). Exogenous inputs act in their own step, hidden spikes one step later.

    Args:
        classes: Number of labels. With one class, labels may be None.
        readout: Number of read-out neurons ``N``, or the shape of a trial, such as ``(2, 17, 17)``.
        num_steps: Number of time steps ``T`` of a trial.
        hidden: Number of hidden neurons; 0 for none.
        latent_bits: Number of latent bits.
        gate_latent: Whether a bit has one input for each class: each then varies in its own way.
        basis: Temporal basis ``[K, L]`` of synapses and feedback.
        label_std: Standard deviation of the initial weights onto hidden neurons.
        weight_std: Standard deviation of the initial weights onto read-out neurons.
        latent_scale: Factors on the bits' weights onto hidden and onto read-out neurons.
        hidden_bias: Initial bias of hidden neurons.
        hidden_feedback: Initial self-feedback of hidden neurons. With +3 on a bias of -2 a neuron that
            has fired goes on firing: it holds a random state through the trial.
        hidden_delay: Time steps from a hidden spike to the read-out neurons. With 0, ``num_steps=1``
            and no feedback the generator is a sigmoid belief network.
        readout_bias: Initial bias of read-out neurons.
        rng: Random source of the initial weights.

    Raises:
        InputError: If ``num_steps`` or a size is below 1, or ``latent_bits`` or ``hidden`` is negative.
    """

    def __init__(
        self,
        classes: int,
        readout: int | tuple[int, ...],
        num_steps: int,
        *,
        hidden: int = 128,
        latent_bits: int = 0,
        gate_latent: bool = False,
        basis: Tensor,
        label_std: float = 0.9,
        weight_std: float = 0.3,
        latent_scale: tuple[float, float] = (0.5, 0.3),
        hidden_bias: float = -2.0,
        hidden_feedback: float = 3.0,
        hidden_delay: int = 1,
        readout_bias: float = -1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shape = readout if isinstance(readout, tuple) else (readout,)
        check_positive(classes=classes, num_steps=num_steps)
        for size in shape or (0,):
            check_positive(readout=size)
        check_setting("latent_bits", latent_bits, whole(0))
        check_setting("hidden", hidden, whole(0))
        self.classes, self.num_steps, self._shape = classes, num_steps, shape
        self.hidden, self.latent_bits, self.gate_latent = hidden, latent_bits, gate_latent
        self.hidden_delay = hidden_delay
        latent = latent_bits * classes if gate_latent else latent_bits
        exogenous, sources = classes + latent, ("label", "latent")
        delays = [0] * exogenous + [hidden_delay] * hidden
        neurons = partial(GLMLayer, basis=basis, rng=rng)
        layers: dict[str, GLMLayer] = {}
        if hidden:
            first = partial(neurons, delay=0, feedback_init=hidden_feedback)
            layers["hidden"] = first(exogenous, hidden, weight_std=label_std, bias_init=hidden_bias)
        layers["readout"] = neurons(
            len(delays), math.prod(shape), delay=delays, weight_std=weight_std, bias_init=readout_bias
        )
        for name, scale in zip(("hidden", "readout"), latent_scale, strict=True):
            if name in layers:
                layers[name].weight.data[:, classes:exogenous] *= scale
        wiring = {"hidden": sources, "readout": (*sources, *(["hidden"] if hidden else []))}
        self.network = GLMNetwork({"label": classes, "latent": latent}, layers, wiring)
        for parameter in self.network.parameters():
            check_finite("weights, or latent_scale", parameter.detach())

    @torch.no_grad()
    def initialise_rates(self, rates: Tensor) -> None:
        """Set the read-out neurons' label weights so that they fire at given rates.

        The weights reproduce the log-odds as well as the basis allows, by least squares over time.
        Biases become 0. Bits, hidden neurons and feedback are left out of account.

        Args:
            rates: Probability of a spike ``[T, classes, *shape]``, above 0 and below 1.

        Raises:
            InputError: If the rates have another shape, or one is not above 0 and below 1.
        """
        layer = self.network.layers["readout"]
        assert isinstance(layer, GLMLayer)
        layer.check_parameters()
        shape = (self.num_steps, self.classes, *self.shape)
        check_shapes(rates=(rates, shape))
        rates = plain(rates).to(layer.weight)
        check_values("rates", rates, torch.logit(rates).isfinite(), "probabilities above 0 and below 1")
        lags = torch.arange(self.num_steps).clamp(max=layer.basis.shape[1] - 1)
        responses = layer.basis.cumsum(1)[:, lags].T  # of each filter to a constant input
        # Solvers round by where their arrays lie; in double precision the weights do not show it.
        odds = torch.logit(rates).double().flatten(1)
        found = torch.linalg.lstsq(responses.double(), odds).solution
        layer.weight[:, : self.classes] = found.to(layer.weight).unflatten(1, (self.classes, -1))
        layer.bias.zero_()


class ConvolutionalGenerator(LabelledGenerator):
    """A generator of event frames: label and latent bits, hidden maps, a transposed convolution.

    Hidden neurons form coarse maps. They receive the label and the bits, each bit through synapses of
    the trial's class. Read-out neurons are a `GLMConvTranspose2d`: the number of synapses does not grow
    with the sensor. Inputs act in their own step, hidden spikes one step later.

    Args:
        classes: Number of labels. With one class, labels may be None.
        frame: Shape of the read-out neurons ``(C, H, W)``.
        num_steps: Number of time steps ``T`` of a trial.
        maps: Number of hidden maps.
        stride: Read-out pixels between two neighbouring pixels of a map.
        kernel_size: Side of a map pixel's patch of read-out pixels; twice the stride by default.
        latent_bits: Number of latent bits.
        basis: Temporal basis ``[K, L]`` of synapses and feedback.
        hidden_std: Standard deviation of the initial weights onto hidden neurons.
        hidden_bias: Initial bias of hidden neurons.
        readout_bias: Initial bias of read-out neurons.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, ``latent_bits`` is negative, or no whole number of map pixels
            covers the frame.
    """

    def __init__(
        self,
        classes: int,
        frame: tuple[int, int, int],
        num_steps: int,
        *,
        maps: int = 16,
        stride: int = 4,
        kernel_size: int | None = None,
        latent_bits: int = 32,
        basis: Tensor,
        hidden_std: float = 0.5,
        hidden_bias: float = -2.0,
        readout_bias: float = -3.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        kernel = 2 * stride if kernel_size is None else kernel_size
        check_positive(
            classes=classes, num_steps=num_steps, maps=maps, stride=stride, kernel_size=kernel
        )
        for size in frame:
            check_positive(frame=size)
        check_setting("latent_bits", latent_bits, whole(0))
        channels, *sides = frame
        coarse = [-(-(side - kernel) // stride) + 1 for side in sides]
        over = [(n - 1) * stride + kernel - side for n, side in zip(coarse, sides, strict=True)]
        if min(coarse) < 1 or over[0] != over[1] or over[0] % 2:
            raise InputError(
                "stride and kernel_size",
                expected=f"patches that cover {sides} with the same even margin",
                got=f"stride {stride} and kernel_size {kernel}: margins {over}",
            )
        self.classes, self.num_steps, self.latent_bits = classes, num_steps, latent_bits
        frames, latent = (maps, coarse[0], coarse[1]), latent_bits * classes
        neurons = partial(GLMLayer, basis=basis, delay=0, weight_std=hidden_std, rng=rng)
        hidden = neurons(classes + latent, math.prod(frames), bias_init=hidden_bias)
        patches = partial(GLMConvTranspose2d, stride=stride, padding=over[0] // 2, basis=basis, rng=rng)
        std = bases.unit_std(maps * kernel**2, basis)
        readout = patches(maps, channels, kernel, weight_std=std, bias_init=readout_bias)
        self.network = GLMNetwork(
            {"label": classes, "latent": latent},
            {"hidden": hidden, "readout": readout},
            {"hidden": ("label", "latent"), "readout": ("hidden",)},
            {"hidden": frames},
        )


class StepResponseGenerator(NetworkGenerator):
    """The generator of the SpikeGAN paper, section VIII-C: neurons driven by a step function.

    Each neuron receives one input that is on throughout the trial, and has a feedback filter. There are
    no hidden neurons; labels are ignored.

    Args:
        readout: Number of neurons ``N``; 1 in the paper.
        num_steps: Number of time steps ``T`` of a trial.
        basis: Temporal basis ``[K, L]`` of the synapse and the feedback.
        weight_std: Standard deviation of all initial weights, feedback included.
        bias_init: Initial bias.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or a setting of the layer is out of its range.
    """

    def __init__(
        self,
        readout: int,
        num_steps: int,
        *,
        basis: Tensor,
        weight_std: float = 0.1,
        bias_init: float = -1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(num_steps=num_steps)
        self.num_steps = num_steps
        layer = GLMLayer(1, readout, basis=basis, weight_std=weight_std, bias_init=bias_init, rng=rng)
        layer.feedback.data.normal_(0.0, weight_std, generator=rng)
        self.network = GLMNetwork({"step": 1}, {"readout": layer}, {"readout": ("step",)})

    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the neurons' input: a ``step`` that is on throughout ``[T, B, 1]``."""
        return {"step": torch.ones_like(noise["readout"][..., :1])}
