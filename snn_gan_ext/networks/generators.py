"""Spiking generators: GLM layers wired without loops, and the paper's conditional generator."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.checks import look
from snn_gan_ext.layers.conv import GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.state import GLMSample, GLMState

__all__ = [
    "ConditionalGenerator",
    "ConvolutionalGenerator",
    "GLMNetwork",
    "GeneratorSample",
    "NetworkGenerator",
    "StepResponseGenerator",
]


class GLMNetwork(nn.Module):
    """GLM layers in an order in which each hears exogenous inputs and earlier layers only.

    Eq. 4 of the SpikeGAN paper needs a wiring without loops other than each neuron's own feedback;
    the order makes sure of that, and lets every layer run over all of T at once. Finer wirings are
    made by the layers' masks.

    Args:
        inputs: size of each exogenous input by name.
        layers: the layers by name, in the order in which they run; dense or convolutional.
        wiring: for each layer the names of what it hears, concatenated in this order: neurons for a
            dense layer, channels for a convolutional one.
        maps: for inputs and dense layers that a convolutional one hears, the frame ``(C, H, W)`` that
            their neurons stand for.

    Raises:
        InputError: if a layer hears something that does not come before it, or the sizes differ.
    """

    def __init__(
        self,
        inputs: Mapping[str, int],
        layers: Mapping[str, GLMNeurons],
        wiring: Mapping[str, Sequence[str]],
        maps: Mapping[str, tuple[int, int, int]] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = dict(inputs)
        self.layers = nn.ModuleDict(layers)
        self.wiring = {name: tuple(sources) for name, sources in wiring.items()}
        self.maps = dict(maps or {})
        self.sizes: dict[str, tuple[int, ...]] = {}
        self._measure()

    def sample(
        self,
        exogenous: Mapping[str, Tensor],
        uniforms: Mapping[str, Tensor],
        observed: Mapping[str, Tensor] | None = None,
        states: Mapping[str, GLMState] | None = None,
    ) -> dict[str, GLMSample]:
        """Samples every layer in turn, except for those whose spikes are given.

        Args:
            exogenous: spikes ``[T, B, size]`` of each input.
            uniforms: noise ``[T, B, *size]`` of each layer that is sampled.
            observed: spikes ``[T, B, *size]`` of layers that are clamped to them.
            states: where each layer goes on from; silence by default.

        Returns:
            What `GLMLayer.sample` returns, for each layer.
        """
        self._check_exogenous(exogenous)
        signals = dict(exogenous)
        runs = {}
        for name, layer in self.glm_layers():
            parts = [self._as_heard(name, source, signals[source]) for source in self.wiring[name]]
            heard = torch.cat(parts, 2)
            state = states[name] if states else None
            if observed and name in observed:
                runs[name] = layer.observe(heard, observed[name], state)
            else:
                runs[name] = layer.sample(heard, state, uniforms=uniforms[name])
            signals[name] = runs[name].spikes
        return runs

    def gradients(
        self,
        runs: Mapping[str, GLMSample],
        errors: Mapping[str, Tensor],
        *,
        per_sample: bool = False,
    ) -> dict[str, Tensor]:
        """Closed-form gradients of all parameters for an error ``[T, B, size]`` at each layer.

        Returns:
            Gradients by the parameter's name in `named_parameters`.
        """
        return {
            f"layers.{name}.{parameter}": gradient
            for name, layer in self.glm_layers()
            for parameter, gradient in layer.gradients(
                runs[name], errors[name], per_sample=per_sample
            ).items()
        }

    def glm_layers(self) -> list[tuple[str, GLMNeurons]]:
        """The layers with their names, in the order in which they run."""
        return [(name, layer) for name, layer in self.layers.items() if isinstance(layer, GLMNeurons)]

    def heard_size(self, name: str, source: str) -> tuple[int, ...]:
        """The size in which a layer hears a source: ``(N,)``, or ``(C, H, W)`` for convolutions."""
        size = self.sizes[source]
        if isinstance(self.layers[name], GLMLayer):
            return (math.prod(size),)
        return self.maps.get(source, size)

    def _as_heard(self, name: str, source: str, spikes: Tensor) -> Tensor:
        return spikes.reshape(*spikes.shape[:2], *self.heard_size(name, source))

    def _check_exogenous(self, exogenous: Mapping[str, Tensor]) -> None:
        sizes = {name: spikes.shape[-1] for name, spikes in exogenous.items()}
        if sizes != self.inputs:
            raise InputError("exogenous", expected=f"inputs of sizes {self.inputs}", got=f"{sizes}")

    def _measure(self) -> None:
        """Finds the size of each input's and each layer's spikes behind time and batch."""
        self.sizes = {name: (size,) for name, size in self.inputs.items()}
        for name, layer in self.layers.items():
            if not isinstance(layer, GLMNeurons):
                raise InputError(
                    f"layer {name!r}", expected="GLM neurons", got=f"{type(layer).__name__}"
                )
            sources = self.wiring.get(name, ())
            unknown = [source for source in sources if source not in self.sizes]
            if unknown or not sources:
                raise InputError(
                    f"wiring of {name!r}",
                    expected=f"some of {list(self.sizes)}, which come before it",
                    got=f"{list(sources)}",
                )
            self.sizes[name] = self._size_of(name, layer, sources)

    def _size_of(self, name: str, layer: GLMNeurons, sources: tuple[str, ...]) -> tuple[int, ...]:
        heard = [self.heard_size(name, source) for source in sources]
        for source, size in zip(sources, heard, strict=True):
            if math.prod(size) != math.prod(self.sizes[source]) or len(size) != len(heard[0]):
                raise InputError(
                    f"maps[{source!r}]",
                    expected=f"{math.prod(self.sizes[source])} neurons, as {source!r} has",
                    got=f"{size}",
                )
        total = sum(size[0] for size in heard)
        if isinstance(layer, GLMLayer):
            if total != layer.in_features:
                raise InputError(
                    f"layer {name!r}",
                    expected=f"{total} in_features, the sum of {list(sources)}",
                    got=f"{layer.in_features}",
                )
            return (layer.out_features,)
        if len(heard[0]) != 3 or any(size[1:] != heard[0][1:] for size in heard):
            raise InputError(
                f"layer {name!r}",
                expected="sources that are frames (C, H, W) of one height and width",
                got=f"{dict(zip(sources, heard, strict=True))}",
                cure="say with maps= what frame a dense layer's neurons stand for",
            )
        return layer.output_size((total, *heard[0][1:]))


class GeneratorSample(NamedTuple):
    """A batch drawn from a generator.

    Attributes:
        spikes: the read-out neurons' spikes ``[T, B, N]``.
        runs: what each layer did, for the learning rule.
    """

    spikes: Tensor
    runs: dict[str, GLMSample]


class NetworkGenerator(nn.Module, ABC):
    """A generator that is one `GLMNetwork`, whose layer ``readout`` speaks for it.

    A subclass says what the network hears (`exogenous`) and which noise a batch needs (`noise`).

    Attributes:
        network: the layers.
        steps: length ``T`` of a trial in time steps.
        hidden_delay: steps from a hidden spike to the read-out neurons.
    """

    network: GLMNetwork
    steps: int
    hidden_delay: int

    @abstractmethod
    def noise(self, batch: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) for one batch: ``[T, B, size]`` of each layer, and what else is needed.

        Args:
            batch: batch size ``B``.
            generator: the seeded source; torch's global generator by default.
        """

    @abstractmethod
    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the network hears from outside, spikes ``[T, B, size]`` by name.

        Args:
            labels: whole numbers ``[B]``.
            noise: from `noise`, or some steps of it.
        """

    def sample(self, labels: Tensor, noise: Mapping[str, Tensor]) -> GeneratorSample:
        """Draws one trial for each label.

        Args:
            labels: whole numbers ``[B]``.
            noise: from `noise`.

        Raises:
            InputError: if a label is out of range.
        """
        return self._run(labels, noise)

    def observe(
        self,
        spikes: Tensor,
        labels: Tensor,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        """Clamps the read-out neurons to given spikes and draws the hidden ones.

        Args:
            spikes: ``[T, B, N]``, or some steps of it; or frames ``[T, B, C, H, W]`` of as many.
            labels: whole numbers ``[B]``.
            noise: from `noise`, or those steps of it; that of the read-out neurons is not used.
            states: each layer's state after the steps before these; silence by default.

        Raises:
            InputError: if a label is out of range, or the spikes are none of this generator's.
        """
        size = self.network.sizes["readout"]
        if math.prod(spikes.shape[2:]) == math.prod(size):
            spikes = spikes.reshape(*spikes.shape[:2], *size)
        return self._run(labels, noise, {"readout": spikes}, states)

    def gradients(
        self, sample: GeneratorSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Closed-form gradients by parameter name; see `GLMNetwork.gradients`."""
        gradients = self.network.gradients(sample.runs, errors, per_sample=per_sample)
        return {f"network.{name}": gradient for name, gradient in gradients.items()}

    def forward(self, labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws spikes ``[T, B, N]`` for labels ``[B]``."""
        return self.sample(labels, self.noise(len(labels), generator)).spikes

    def _run(
        self,
        labels: Tensor,
        noise: Mapping[str, Tensor],
        observed: Mapping[str, Tensor] | None = None,
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        runs = self.network.sample(self.exogenous(labels, noise), noise, observed, states)
        return GeneratorSample(runs["readout"].spikes, runs)

    def _uniforms(self, batch: int, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Noise ``[T, B, *size]`` of every layer by name."""
        device = next(self.parameters()).device
        network = self.network
        return {
            name: torch.rand(
                self.steps, batch, *network.sizes[name], generator=generator, device=device
            )
            for name, _ in network.glm_layers()
        }


class ConditionalGenerator(NetworkGenerator):
    """The spiking generator of the SpikeGAN paper, section VIII-A: label, hidden, read-out neurons.

    The label comes in as a one-hot vector that spikes at every step. Latent bits, where asked for,
    are fair coins tossed once a trial and held through it: randomness that outlasts a step, so that
    trials of one class can differ in shape and not in pixel noise alone.

    Hidden neurons hear the label and the bits; read-out neurons hear those and the hidden ones
    ("fully connected"). Exogenous inputs act in their own step, hidden spikes one step later.

    Args:
        classes: number of labels.
        readout: number of read-out neurons ``N``.
        steps: length ``T`` of a trial in time steps.
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
        generator: seeds the initial weights.

    Raises:
        InputError: if ``steps`` or a size is below 1, or ``latent_bits`` or ``hidden`` is negative.
    """

    def __init__(
        self,
        classes: int,
        readout: int,
        steps: int,
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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise InputError("steps", expected="T of at least 1", got=f"{steps}")
        if min(latent_bits, hidden) < 0:
            raise InputError(
                "latent_bits and hidden", expected="0 or more", got=f"{latent_bits} and {hidden}"
            )
        self.classes, self.readout, self.steps = classes, readout, steps
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
                generator=generator,
            )
            wiring = {"hidden": ("label", "latent"), "readout": ("label", "latent", "hidden")}
        layers["readout"] = GLMLayer(
            exogenous + hidden,
            readout,
            basis=basis,
            delay=[0] * exogenous + [hidden_delay] * hidden,
            weight_std=weight_std,
            bias_init=readout_bias,
            generator=generator,
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
    def start_at(self, rates: Tensor) -> None:
        """Sets what the read-out neurons hear of the label so that they fire at given rates.

        The bits and hidden neurons are left out of account, and so is feedback. Their log-odds are met
        as well as the basis allows, by least squares over time; biases become 0.

        Args:
            rates: probability of a spike ``[T, classes, N]``, above 0 and below 1.

        Raises:
            InputError: if they are of another shape, or certain.
        """
        layer: Any = self.network.layers["readout"]
        shape = (self.steps, self.classes, self.readout)
        rates = rates.to(layer.weight)
        if tuple(rates.shape) != shape or not bool(torch.logit(rates).isfinite().all()):
            raise InputError(
                "rates",
                expected=f"probabilities {list(shape)} above 0 and below 1",
                got=f"{list(rates.shape)}, or others",
            )
        lags = torch.arange(self.steps).clamp(max=layer.basis.shape[1] - 1)
        responses = layer.basis.cumsum(1)[:, lags].T  # of each filter to what is on throughout
        # Solvers round by where their arrays lie; in double precision the weights do not show it.
        odds = torch.logit(rates).double().flatten(1)
        found = torch.linalg.lstsq(responses.double(), odds).solution
        layer.weight[:, : self.classes] = found.to(layer.weight).reshape(-1, self.classes, self.readout)
        layer.bias.zero_()

    def noise(self, batch: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) for one batch: latent ``[B, bits]``, hidden and read-out ``[T, B, size]``.

        Args:
            batch: batch size ``B``.
            generator: the seeded source; torch's global generator by default.
        """
        device = next(self.parameters()).device
        latent = torch.rand(batch, self.latent_bits, generator=generator, device=device)
        return {"latent": latent, **self._uniforms(batch, generator)}

    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the network hears from outside: ``label`` and ``latent`` spikes ``[T, B, size]``.

        Args:
            labels: whole numbers ``[B]`` below ``classes``.
            noise: from `noise`, or some steps of it.

        Raises:
            InputError: if a label is out of range, or the noise none.
        """
        return _label_and_bits(labels, self.classes, noise, gated=self.gate_latent)


class ConvolutionalGenerator(NetworkGenerator):
    """A generator of event frames: label and latent bits, hidden maps, a transposed convolution.

    Hidden neurons stand for coarse maps and hear the label and the bits, each bit through synapses of
    its trial's class; read-out neurons are `GLMConvTranspose2d`, so that their synapses are shared over
    space and do not grow in number with the sensor. Inputs act in their own step, hidden spikes one
    step later.

    Args:
        classes: number of labels.
        frame: the read-out neurons ``(C, H, W)``.
        steps: length ``T`` of a trial in time steps.
        maps: number of hidden maps.
        stride: read-out pixels between two pixels of a map.
        kernel_size: side of a map pixel's patch of read-out pixels; by default twice the stride.
        latent_bits: number of latent bits.
        basis: temporal basis ``[K, L]`` of synapses and feedback.
        hidden_std: standard deviation of the initial weights onto hidden neurons.
        hidden_bias: their initial bias.
        readout_bias: that of the read-out neurons.
        generator: seeds the initial weights.

    Raises:
        InputError: if a number has no meaning, or no whole number of map pixels covers the frame.
    """

    hidden_delay = 1

    def __init__(
        self,
        classes: int,
        frame: tuple[int, int, int],
        steps: int,
        *,
        maps: int = 16,
        stride: int = 4,
        kernel_size: int | None = None,
        latent_bits: int = 32,
        basis: Tensor,
        hidden_std: float = 0.5,
        hidden_bias: float = -2.0,
        readout_bias: float = -3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        kernel = 2 * stride if kernel_size is None else kernel_size
        numbers = (classes, *frame, steps, maps, stride, kernel)
        if any(type(number) is not int or number < 1 for number in numbers) or latent_bits < 0:
            raise InputError(
                "generator",
                expected="whole sizes of at least 1, and 0 latent bits or more",
                got=f"classes {classes}, frame {frame}, steps {steps}, maps {maps}, stride {stride}, "
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
        self.classes, self.steps, self.latent_bits = classes, steps, latent_bits
        map_frame = (maps, coarse[0], coarse[1])
        hidden = GLMLayer(
            classes + latent_bits * classes,
            math.prod(map_frame),
            basis=basis,
            delay=0,
            weight_std=hidden_std,
            bias_init=hidden_bias,
            generator=generator,
        )
        readout = GLMConvTranspose2d(
            maps,
            channels,
            kernel,
            stride=stride,
            padding=over[0] // 2,
            basis=basis,
            bias_init=readout_bias,
            generator=generator,
        )
        self.network = GLMNetwork(
            {"label": classes, "latent": latent_bits * classes},
            {"hidden": hidden, "readout": readout},
            {"hidden": ("label", "latent"), "readout": ("hidden",)},
            {"hidden": map_frame},
        )

    def noise(self, batch: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1): latent ``[B, bits]``, hidden and read-out ``[T, B, *size]``."""
        device = next(self.parameters()).device
        latent = torch.rand(batch, self.latent_bits, generator=generator, device=device)
        return {"latent": latent, **self._uniforms(batch, generator)}

    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the hidden maps hear: ``label`` and ``latent`` spikes ``[T, B, size]``.

        Args:
            labels: whole numbers ``[B]`` below ``classes``.
            noise: from `noise`, or some steps of it.

        Raises:
            InputError: if a label is out of range, or the noise none.
        """
        return _label_and_bits(labels, self.classes, noise, gated=True)


class StepResponseGenerator(NetworkGenerator):
    """The generator of the SpikeGAN paper, section VIII-C: neurons that hear a step function.

    Each neuron is stimulated by one input that is on throughout the trial; all else is its own synaptic
    and feedback filter. There are neither labels nor hidden neurons.

    Args:
        readout: number of neurons ``N``; the paper has one.
        steps: length ``T`` of a trial in time steps.
        basis: temporal basis ``[K, L]`` of the synapse and the feedback.
        weight_std: standard deviation of all initial weights, feedback included.
        bias_init: initial bias.
        generator: seeds the initial weights.

    Raises:
        InputError: if ``steps`` is below 1, or a setting of the layer has no meaning.
    """

    hidden_delay = 1

    def __init__(
        self,
        readout: int,
        steps: int,
        *,
        basis: Tensor,
        weight_std: float = 0.1,
        bias_init: float = -1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise InputError("steps", expected="T of at least 1", got=f"{steps}")
        self.readout, self.steps = readout, steps
        layer = GLMLayer(
            1, readout, basis=basis, weight_std=weight_std, bias_init=bias_init, generator=generator
        )
        with torch.no_grad():
            layer.feedback.normal_(0.0, weight_std, generator=generator)
        self.network = GLMNetwork({"step": 1}, {"readout": layer}, {"readout": ("step",)})

    def noise(self, batch: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) ``[T, B, N]``."""
        return self._uniforms(batch, generator)

    def exogenous(self, labels: Tensor, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the neurons hear from outside: a ``step`` that is on throughout ``[T, B, 1]``."""
        return {"step": torch.ones_like(noise["readout"][..., :1])}


def _label_and_bits(
    labels: Tensor, classes: int, noise: Mapping[str, Tensor], *, gated: bool
) -> dict[str, Tensor]:
    """One-hot labels and latent bits, on throughout; gated bits have an input for each class."""
    label_spikes = one_hot(labels, classes).to(noise["readout"])
    if look(((noise["latent"] >= 0) & (noise["latent"] <= 1)).all()) is False:
        raise InputError("latent noise", expected="values in [0, 1)", got="others, or NaN")
    bits = (noise["latent"] < 0.5).to(label_spikes)
    if gated:
        bits = (label_spikes.unsqueeze(-1) * bits.unsqueeze(-2)).flatten(1)
    steps = len(noise["readout"])
    return {"label": label_spikes.expand(steps, -1, -1), "latent": bits.expand(steps, -1, -1)}


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """One-hot floats ``[B, classes]``.

    Raises:
        InputError: if the labels are no whole numbers ``[B]`` in ``0 .. classes - 1``.
    """
    if labels.dim() != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            "labels", expected="whole numbers [B]", got=f"{labels.dtype} {list(labels.shape)}"
        )
    if len(labels) and look(((labels >= 0) & (labels < classes)).all()) is False:
        raise InputError(
            "labels",
            expected=f"values in 0 .. {classes - 1}",
            got=f"{int(labels.min())} .. {int(labels.max())}",
        )
    return nn.functional.one_hot(labels.long(), classes).to(torch.get_default_dtype())
