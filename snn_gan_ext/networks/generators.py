"""Spiking generators: the paper's conditional one, one of event frames, and single neurons."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.checks import check_positive, look
from snn_gan_ext.layers.conv import GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.networks.glm import GLMNetwork, NetworkGenerator
from snn_gan_ext.networks.labels import one_hot

__all__ = [
    "ConditionalGenerator",
    "ConvolutionalGenerator",
    "LabelledGenerator",
    "StepResponseGenerator",
]


class LabelledGenerator(NetworkGenerator):
    """A generator that hears a label and latent bits, both on throughout the trial.

    Attributes:
        classes: number of labels.
        latent_bits: number of fair coins that are tossed once a trial.
        gate_latent: whether a bit has an input for each class, of which its trial's alone is on.
    """

    classes: int
    latent_bits: int
    gate_latent: bool = True

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) for one batch: latent ``[B, bits]``, layers ``[T, B, *size]``.

        Args:
            batch: batch size ``B``.
            rng: the seeded source; torch's global generator by default.
        """
        device = next(self.parameters()).device
        latent = torch.rand(batch, self.latent_bits, generator=rng, device=device)
        return {"latent": latent, **self._uniforms(batch, rng)}

    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the network hears from outside: ``label`` and ``latent`` spikes ``[T, B, size]``.

        Args:
            labels: whole numbers ``[B]`` below ``classes``.
            noise: from `noise`, or some steps of it.

        Raises:
            InputError: if a label is out of range, or the noise none.
        """
        label_spikes = one_hot(labels, self.classes).to(noise["readout"])
        if look(((noise["latent"] >= 0) & (noise["latent"] <= 1)).all()) is False:
            raise InputError("latent noise", expected="values in [0, 1)", got="others, or NaN")
        bits = (noise["latent"] < 0.5).to(label_spikes)
        if self.gate_latent:
            bits = (label_spikes.unsqueeze(-1) * bits.unsqueeze(-2)).flatten(1)
        steps = len(noise["readout"])
        return {"label": label_spikes.expand(steps, -1, -1), "latent": bits.expand(steps, -1, -1)}


class ConditionalGenerator(LabelledGenerator):
    """The spiking generator of the SpikeGAN paper, section VIII-A: label, hidden, read-out neurons.

    The label comes in as a one-hot vector that spikes at every step. Latent bits, where asked for,
    are fair coins tossed once a trial and held through it: randomness that outlasts a step, so that
    trials of one class can differ in shape and not in pixel noise alone.

    Hidden neurons hear the label and the bits; read-out neurons hear those and the hidden ones
    ("fully connected"). Exogenous inputs act in their own step, hidden spikes one step later.

    Args:
        classes: number of labels.
        readout: number of read-out neurons ``N``.
        num_steps: length ``T`` of a trial in time steps.
        hidden: number of hidden neurons; 0 for none.
        latent_bits: number of latent bits.
        gate_latent: let a bit pass through synapses of its trial's class only (one input for each pair
            of class and bit), so that every class varies in its own way.
        basis: temporal basis ``[K, L]`` of synapses and feedback.
        label_std: standard deviation of label-to-hidden weights.
        weight_std: that of all other weights.
        latent_scale: factor on the bits' weights onto hidden and onto read-out neurons.
        hidden_bias: initial bias of hidden neurons.
        hidden_feedback: initial self-feedback of hidden neurons; with +3 on a bias of -2 a hidden
            neuron that has fired goes on firing, so that it holds a random state through the trial.
        hidden_delay: steps from a hidden spike to the read-out neurons. With 0, ``steps=1`` and no
            feedback the generator is a sigmoid belief network.
        readout_bias: initial bias of read-out neurons.
        rng: seeds the initial weights.

    Raises:
        InputError: if ``num_steps`` or a size is below 1, or ``latent_bits`` or ``hidden`` is negative.
    """

    def __init__(
        self,
        classes: int,
        readout: int,
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
        check_positive(classes=classes, readout=readout, num_steps=num_steps)
        if min(latent_bits, hidden) < 0:
            raise InputError(
                "latent_bits and hidden", expected="0 or more", got=f"{latent_bits} and {hidden}"
            )
        self.classes, self.readout, self.num_steps = classes, readout, num_steps
        self.hidden, self.latent_bits, self.gate_latent = hidden, latent_bits, gate_latent
        self.hidden_delay = hidden_delay
        latent = latent_bits * classes if gate_latent else latent_bits
        exogenous = classes + latent
        layers: dict[str, GLMLayer] = {}
        wiring: dict[str, tuple[str, ...]] = {"readout": ("label", "latent")}
        if hidden:
            layers["hidden"] = GLMLayer(
                exogenous,
                hidden,
                basis=basis,
                delay=0,
                weight_std=label_std,
                bias_init=hidden_bias,
                feedback_init=hidden_feedback,
                rng=rng,
            )
            wiring = {"hidden": ("label", "latent"), "readout": ("label", "latent", "hidden")}
        layers["readout"] = GLMLayer(
            exogenous + hidden,
            readout,
            basis=basis,
            delay=[0] * exogenous + [hidden_delay] * hidden,
            weight_std=weight_std,
            bias_init=readout_bias,
            rng=rng,
        )
        scales = dict(zip(("hidden", "readout"), latent_scale, strict=True))
        with torch.no_grad():
            for name, layer in layers.items():
                layer.weight[:, classes:exogenous] *= scales[name]
        self._check_weights(layers, latent_scale)
        self.network = GLMNetwork({"label": classes, "latent": latent}, layers, wiring)

    @staticmethod
    def _check_weights(layers: Mapping[str, GLMLayer], latent_scale: tuple[float, float]) -> None:
        parameters = [parameter for layer in layers.values() for parameter in layer.parameters()]
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise InputError("latent_scale", expected="finite factors", got=f"{latent_scale}")

    @torch.no_grad()
    def initialise_rates(self, rates: Tensor) -> None:
        """Sets what the read-out neurons hear of the label so that they fire at given rates.

        The bits and hidden neurons are left out of account, and so is feedback. Their log-odds are met
        as well as the basis allows, by least squares over time; biases become 0.

        Args:
            rates: probability of a spike ``[T, classes, N]``, above 0 and below 1.

        Raises:
            InputError: if they are of another shape, or certain.
        """
        layer: Any = self.network.layers["readout"]
        shape = (self.num_steps, self.classes, self.readout)
        rates = rates.to(layer.weight)
        if tuple(rates.shape) != shape or not bool(torch.logit(rates).isfinite().all()):
            raise InputError(
                "rates",
                expected=f"probabilities {list(shape)} above 0 and below 1",
                got=f"{list(rates.shape)}, or others",
            )
        lags = torch.arange(self.num_steps).clamp(max=layer.basis.shape[1] - 1)
        responses = layer.basis.cumsum(1)[:, lags].T  # of each filter to what is on throughout
        # Solvers round by where their arrays lie; in double precision the weights do not show it.
        odds = torch.logit(rates).double().flatten(1)
        found = torch.linalg.lstsq(responses.double(), odds).solution
        layer.weight[:, : self.classes] = found.to(layer.weight).reshape(-1, self.classes, self.readout)
        layer.bias.zero_()


class ConvolutionalGenerator(LabelledGenerator):
    """A generator of event frames: label and latent bits, hidden maps, a transposed convolution.

    Hidden neurons stand for coarse maps and hear the label and the bits, each bit through synapses of
    its trial's class; read-out neurons are `GLMConvTranspose2d`, so that their synapses are shared over
    space and do not grow in number with the sensor. Inputs act in their own step, hidden spikes one
    step later.

    Args:
        classes: number of labels.
        frame: the read-out neurons ``(C, H, W)``.
        num_steps: length ``T`` of a trial in time steps.
        maps: number of hidden maps.
        stride: read-out pixels between two pixels of a map.
        kernel_size: side of a map pixel's patch of read-out pixels; by default twice the stride.
        latent_bits: number of latent bits.
        basis: temporal basis ``[K, L]`` of synapses and feedback.
        hidden_std: standard deviation of the initial weights onto hidden neurons.
        hidden_bias: their initial bias.
        readout_bias: that of the read-out neurons.
        rng: seeds the initial weights.

    Raises:
        InputError: if a number has no meaning, or no whole number of map pixels covers the frame.
    """

    hidden_delay = 1

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
        numbers = (classes, *frame, num_steps, maps, stride, kernel)
        if any(type(number) is not int or number < 1 for number in numbers) or latent_bits < 0:
            raise InputError(
                "generator",
                expected="whole sizes of at least 1, and 0 latent bits or more",
                got=f"classes {classes}, frame {frame}, steps {num_steps}, maps {maps}, stride {stride}, "
                f"kernel_size {kernel}, latent_bits {latent_bits}",
            )
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
        map_frame = (maps, coarse[0], coarse[1])
        hidden = GLMLayer(
            classes + latent_bits * classes,
            math.prod(map_frame),
            basis=basis,
            delay=0,
            weight_std=hidden_std,
            bias_init=hidden_bias,
            rng=rng,
        )
        readout = GLMConvTranspose2d(
            maps,
            channels,
            kernel,
            stride=stride,
            padding=over[0] // 2,
            basis=basis,
            bias_init=readout_bias,
            rng=rng,
        )
        self.network = GLMNetwork(
            {"label": classes, "latent": latent_bits * classes},
            {"hidden": hidden, "readout": readout},
            {"hidden": ("label", "latent"), "readout": ("hidden",)},
            {"hidden": map_frame},
        )


class StepResponseGenerator(NetworkGenerator):
    """The generator of the SpikeGAN paper, section VIII-C: neurons that hear a step function.

    Each neuron is stimulated by one input that is on throughout the trial; all else is its own synaptic
    and feedback filter. There are neither labels nor hidden neurons.

    Args:
        readout: number of neurons ``N``; the paper has one.
        num_steps: length ``T`` of a trial in time steps.
        basis: temporal basis ``[K, L]`` of the synapse and the feedback.
        weight_std: standard deviation of all initial weights, feedback included.
        bias_init: initial bias.
        rng: seeds the initial weights.

    Raises:
        InputError: if ``num_steps`` is below 1, or a setting of the layer has no meaning.
    """

    hidden_delay = 1

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
        if num_steps < 1:
            raise InputError("num_steps", expected="T of at least 1", got=f"{num_steps}")
        self.readout, self.num_steps = readout, num_steps
        layer = GLMLayer(1, readout, basis=basis, weight_std=weight_std, bias_init=bias_init, rng=rng)
        with torch.no_grad():
            layer.feedback.normal_(0.0, weight_std, generator=rng)
        self.network = GLMNetwork({"step": 1}, {"readout": layer}, {"readout": ("step",)})

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) ``[T, B, N]``."""
        return self._uniforms(batch, rng)

    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the neurons hear from outside: a ``step`` that is on throughout ``[T, B, 1]``."""
        return {"step": torch.ones_like(noise["readout"][..., :1])}
