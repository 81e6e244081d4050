"""GLM layers wired without loops, and the base class of spiking generators."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.state import GLMSample, GLMState
from snn_gan_ext.networks.labels import labels_and_count
from snn_gan_ext.validation import check_positive, check_tensor

__all__ = ["GLMNetwork", "GeneratorSample", "NetworkGenerator", "ReadoutNetwork"]


class GLMNetwork(nn.Module):
    """GLM layers in an order in which they run.

    Within a step, a layer receives exogenous inputs and earlier layers. Later layers and itself it
    receives one step later, on top of its delay. So the wiring has no loop within a step, as eq. 4 of
    the SpikeGAN paper needs. Without later layers among the sources every layer runs over all of T at
    once; otherwise the layers run step by step, unless the later ones are clamped. Masks of the layers
    make finer wirings.

    Args:
        inputs: Size of each exogenous input by name.
        layers: Layers by name, dense or convolutional, in the order in which they run.
        wiring: Names of each layer's sources, concatenated in this order: neurons for a dense layer,
            channels for a convolutional one.
        maps: Frame ``(C, H, W)`` or ``(C, L)`` of each input or dense layer that a convolutional layer
            receives.

    Attributes:
        sizes: Sizes of the spikes of each input and layer behind time and batch.

    Raises:
        InputError: If a layer's source is unknown, sizes differ, or a name is used twice.
    """

    def __init__(
        self,
        inputs: Mapping[str, int],
        layers: Mapping[str, GLMNeurons],
        wiring: Mapping[str, Sequence[str]],
        maps: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.maps = dict(inputs), dict(maps or {})
        self.layers = nn.ModuleDict(layers)
        self.wiring = {name: tuple(sources) for name, sources in wiring.items()}
        twice = sorted(self.inputs.keys() & self.layers.keys())
        if twice:
            raise InputError("names", expected="one for each input and layer", got=f"{twice} twice")
        self.sizes: dict[str, tuple[int, ...]] = {name: (size,) for name, size in inputs.items()}
        order = [*self.inputs, *layers]
        self.later = {
            name: {source for source in sources if order.index(name) <= order.index(source)}
            for name, sources in self._checked_wiring(order).items()
        }
        heard = {source for sources in self.later.values() for source in sources}
        # A later layer's size follows from its sources' sizes; until then it is taken as given.
        self.sizes |= {name: self._size_given(name) for name in heard}
        for name, layer in layers.items():
            size = self._size_of(name, layer)
            if name in heard and math.prod(size) != math.prod(self.sizes[name]):
                expected = f"{size}, the frame of {name!r}"
                raise InputError(f"maps[{name!r}]", expected=expected, got=f"{self.sizes[name]}")
            self.sizes[name] = size

    def sample(
        self,
        exogenous: Mapping[str, Tensor],
        uniforms: Mapping[str, Tensor],
        observed: Mapping[str, Tensor] | None = None,
        states: Mapping[str, GLMState] | None = None,
    ) -> dict[str, GLMSample]:
        """Sample every layer in turn, except for those whose spikes are given; return their runs.

        Args:
            exogenous: Spikes ``[T, B, size]`` of each input.
            uniforms: Noise ``[T, B, *size]`` of each layer that is sampled.
            observed: Spikes ``[T, B, *size]`` of each layer that is clamped.
            states: State of each layer before the first step; silence by default.
        """
        if not exogenous:
            raise InputError("exogenous", expected="at least one input", got="none")
        sizes = {name: spikes.shape[-1] for name, spikes in exogenous.items()}
        if sizes != self.inputs:
            raise InputError("exogenous", expected=f"inputs of sizes {self.inputs}", got=f"{sizes}")
        observed = dict(observed or {})
        before = self._before(next(iter(exogenous.values())).shape[1], states)
        if any(source not in observed for sources in self.later.values() for source in sources):
            observed |= self._drawn(exogenous, uniforms, observed, states, before)
        signals, runs = {**exogenous, **observed}, {}
        for name, layer in self.glm_layers():
            received, state = self._received(name, signals, before), states[name] if states else None
            if name in observed:
                runs[name] = layer.observe(received, observed[name], state)
            else:
                runs[name] = layer.sample(received, state, uniforms=uniforms[name])
            signals[name] = runs[name].spikes
        return runs

    def _drawn(
        self,
        exogenous: Mapping[str, Tensor],
        uniforms: Mapping[str, Tensor],
        observed: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None,
        before: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Draw the spikes of a network whose layers hear later ones, step by step."""
        now: dict[str, GLMState | None] = {
            name: states[name] if states else None for name in self.layers
        }
        drawn: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for step in range(len(next(iter(exogenous.values())))):
            signals = {name: x[step : step + 1] for name, x in {**exogenous, **observed}.items()}
            # Spikes of this step that are not known yet reach no layer before the next one.
            signals = {**before, **signals}
            for name, layer in self.glm_layers():
                received = self._received(name, signals, before)
                if name in observed:
                    run = layer.observe(received, signals[name], now[name])
                else:
                    noise = uniforms[name][step : step + 1]
                    run = layer.sample(received, now[name], uniforms=noise)
                signals[name], now[name] = run.spikes, run.state
                drawn[name].append(run.spikes)
            before = {name: signals[name] for name in before}
        return {name: torch.cat(spikes) for name, spikes in drawn.items()}

    def _before(self, batch: int, states: Mapping[str, GLMState] | None) -> dict[str, Tensor]:
        """Return spikes ``[1, B, *size]`` before the first step, of layers that earlier ones hear."""
        heard = {source for sources in self.later.values() for source in sources}
        silence = next(self.parameters())
        return {
            name: states[name].outputs[-1:]
            if states
            else silence.new_zeros(1, batch, *self.sizes[name])
            for name in heard
        }

    def _received(
        self, name: str, signals: Mapping[str, Tensor], before: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the spikes that a layer receives, ``[T, B, *in]``."""
        parts = []
        for source in self.wiring[name]:
            signal = signals[source]
            if source in self.later[name]:
                signal = torch.cat([before[source].to(signal), signal[:-1]])
            parts.append(signal.reshape(*signal.shape[:2], *self.input_size(name, source)))
        return torch.cat(parts, 2)

    def gradients(
        self, runs: Mapping[str, GLMSample], errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients of all parameters, by their name in `named_parameters`.

        Args:
            runs: Runs from `sample`.
            errors: Error ``[T, B, *size]`` of each layer.
            per_sample: Whether to keep the batch axis, in front, instead of summing over it.
        """
        found: dict[str, Tensor] = {}
        for name, layer in self.glm_layers():
            gradients = layer.gradients(runs[name], errors[name], per_sample=per_sample)
            found |= {f"layers.{name}.{parameter}": x for parameter, x in gradients.items()}
        return found

    def glm_layers(self) -> list[tuple[str, GLMNeurons]]:
        """Return the layers with their names, in the order in which they run."""
        return [(name, layer) for name, layer in self.layers.items() if isinstance(layer, GLMNeurons)]

    def input_size(self, name: str, source: str) -> tuple[int, ...]:
        """Return the sizes in which a layer receives a source: ``(N,)``, or ``(C, H, W)``."""
        layer, size = self.layers[name], self.sizes[source]
        assert isinstance(layer, GLMNeurons)
        return (math.prod(size),) if len(layer.input_axes) == 1 else self.maps.get(source, size)

    def received_size(self, name: str) -> tuple[int, ...]:
        """Return the sizes ``*in`` of all that a layer receives in a step."""
        sizes = [self.input_size(name, source) for source in self.wiring[name]]
        return (sum(size[0] for size in sizes), *sizes[0][1:])

    def _checked_wiring(self, order: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the sources of each layer, which have to be known."""
        for name in self.layers:
            sources = self.wiring.get(name, ())
            if not sources or not set(sources) <= set(order):
                got = f"{list(sources)}"
                raise InputError(f"wiring of {name!r}", expected=f"some of {list(order)}", got=got)
        return {name: self.wiring[name] for name in self.layers}

    def _size_given(self, name: str) -> tuple[int, ...]:
        """Return the sizes of a layer's spikes before those of its sources are known."""
        layer = self.layers[name]
        dense = isinstance(layer, GLMNeurons) and len(layer.input_axes) == 1
        if name not in self.maps and not dense:
            expected, cure = "the frame of a layer that earlier ones hear", "give it with maps="
            raise InputError(f"maps[{name!r}]", expected=expected, got="none", cure=cure)
        return self.maps[name] if name in self.maps else (len(layer.bias),)  # type: ignore[arg-type]

    def _size_of(self, name: str, layer: GLMNeurons) -> tuple[int, ...]:
        """Return the sizes of a layer's spikes, and check those of its sources."""
        if not isinstance(layer, GLMNeurons):
            raise InputError(f"layer {name!r}", expected="GLM neurons", got=f"{type(layer).__name__}")
        sources = self.wiring[name]
        received = [self.input_size(name, source) for source in sources]
        for source, size in zip(sources, received, strict=True):
            neurons = math.prod(self.sizes[source])
            if math.prod(size) != neurons:
                expected = f"{neurons} neurons, as {source!r} has"
                raise InputError(f"maps[{source!r}]", expected=expected, got=f"{size}")
        behind = received[0][1:]
        if any(len(size) != len(layer.input_axes) or size[1:] != behind for size in received):
            raise InputError(
                f"layer {name!r}",
                expected="sources that are frames (C, H, W) of one height and width",
                got=f"{dict(zip(sources, received, strict=True))}",
                cure="give the frame of a dense layer's neurons with maps=",
            )
        total, wanted = sum(size[0] for size in received), layer.input_axes[0]
        if total != wanted:
            expected = f"{total} in_features or in_channels, the sum of {list(sources)}"
            raise InputError(f"layer {name!r}", expected=expected, got=f"{wanted}")
        return layer.output_size((total, *behind))


class GeneratorSample(NamedTuple):
    """A batch drawn from a generator: read-out spikes ``[T, B, *shape]`` and the run of each layer."""

    spikes: Tensor
    runs: dict[str, GLMSample]


class ReadoutNetwork(nn.Module):
    """A network made of one `GLMNetwork`, whose last layer is named ``readout``.

    Attributes:
        network: Layers.
        num_steps: Number of time steps ``T`` of a trial.
        hidden_delay: Time steps from a hidden spike to the read-out neurons.
    """

    network: GLMNetwork
    num_steps: int
    hidden_delay: int = 1

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw uniforms in [0, 1) ``[T, B, *size]`` for each layer.

        Args:
            batch: Number of trials ``B``.
            rng: Random source; torch's global one by default.
        """
        device, sizes = next(self.parameters()).device, self.network.sizes
        return {
            name: torch.rand(self.num_steps, batch, *sizes[name], generator=rng, device=device)
            for name, _ in self.network.glm_layers()
        }

    def gradients(
        self, sample: GeneratorSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients by parameter name; see `GLMNetwork.gradients`."""
        gradients = self.network.gradients(sample.runs, errors, per_sample=per_sample)
        return {f"network.{name}": gradient for name, gradient in gradients.items()}


class NetworkGenerator(ReadoutNetwork, ABC):
    """A generator, whose read-out neurons emit the trials; a subclass defines its inputs (`exogenous`).

    Attributes:
        classes: Number of labels; 0 for a generator without labels.
        size: Number of generators: 1. An `Ensemble` has more.
    """

    classes: int = 0
    size: int = 1
    _shape: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of a trial behind time and batch."""
        return self._shape or self.network.sizes["readout"]

    @abstractmethod
    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's inputs, spikes ``[T, B, size]`` by name.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`, or some steps of it.

        Raises:
            InputError: If a label or the noise is out of range, or there are no labels for several
                classes.
        """

    def sample(
        self,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        """Draw one trial for each label.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`.
            states: State of each layer before the first step; silence by default.

        Raises:
            InputError: If a label is out of range, or there are none for several classes.
        """
        inputs = self.exogenous(labels, noise)
        return self._framed(self.network.sample(inputs, noise, states=states))

    def observe(
        self,
        spikes: Tensor,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        """Clamp the read-out neurons to given spikes and draw the hidden ones.

        Args:
            spikes: Trials ``[T, B, *shape]``, flat or framed, or some steps of them.
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`, or the same steps of it. The read-out neurons use none.
            states: State of each layer before the first step; silence by default.

        Raises:
            InputError: If a label is out of range, or the spikes do not fit the generator.
        """
        check_tensor("spikes", spikes)
        size = self.network.sizes["readout"]
        if math.prod(spikes.shape[2:]) == math.prod(size):
            spikes = spikes.reshape(*spikes.shape[:2], *size)
        inputs = self.exogenous(labels, noise)
        return self._framed(self.network.sample(inputs, noise, {"readout": spikes}, states))

    def forward(self, labels: Tensor | int, rng: torch.Generator | None = None) -> Tensor:
        """Draw trials ``[T, B, *shape]``.

        Args:
            labels: Labels ``[B]``, or the number of trials ``B`` without labels.
            rng: Random source; torch's global one by default.
        """
        given, count = labels_and_count(labels)
        return self.sample(given, self.noise(count, rng)).spikes

    @torch.no_grad()
    def free_run(
        self, labels: Tensor | int, num_steps: int, rng: torch.Generator | None = None
    ) -> Tensor:
        """Draw ongoing activity ``[T, B, *shape]``: trials without a pause between them.

        Each goes on from the state of the one before. Latent bits are tossed anew for each.

        Args:
            labels: Labels ``[B]``, or the number of runs ``B`` without labels.
            num_steps: Length ``T`` in time steps.
            rng: Random source; torch's global one by default.

        Raises:
            InputError: If ``num_steps`` is below 1.
        """
        check_positive(num_steps=num_steps)
        given, count = labels_and_count(labels)
        states: dict[str, GLMState] | None = None
        parts = []
        for _ in range(-(-num_steps // self.num_steps)):
            drawn = self.sample(given, self.noise(count, rng), states)
            states = {name: run.state for name, run in drawn.runs.items()}
            parts.append(drawn.spikes)
        return torch.cat(parts)[:num_steps]

    def _framed(self, runs: dict[str, GLMSample]) -> GeneratorSample:
        spikes = runs["readout"].spikes
        return GeneratorSample(spikes.reshape(*spikes.shape[:2], *self.shape), runs)
