"""GLM layers wired without loops, and what makes a generator of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.state import GLMSample, GLMState

__all__ = ["GLMNetwork", "GeneratorSample", "NetworkGenerator"]


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
        InputError: if a layer hears something that does not come before it, sizes differ, or names are
            alike.
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
            parts = [self._as_input(name, source, signals[source]) for source in self.wiring[name]]
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

    def input_size(self, name: str, source: str) -> tuple[int, ...]:
        """The size in which a layer hears a source: ``(N,)``, or ``(C, H, W)`` for convolutions."""
        size = self.sizes[source]
        if isinstance(self.layers[name], GLMLayer):
            return (math.prod(size),)
        return self.maps.get(source, size)

    def _as_input(self, name: str, source: str, spikes: Tensor) -> Tensor:
        return spikes.reshape(*spikes.shape[:2], *self.input_size(name, source))

    def _check_exogenous(self, exogenous: Mapping[str, Tensor]) -> None:
        sizes = {name: spikes.shape[-1] for name, spikes in exogenous.items()}
        if sizes != self.inputs:
            raise InputError("exogenous", expected=f"inputs of sizes {self.inputs}", got=f"{sizes}")

    def _measure(self) -> None:
        """Finds the size of each input's and each layer's spikes behind time and batch."""
        self.sizes = {name: (size,) for name, size in self.inputs.items()}
        twice = sorted(self.inputs.keys() & self.layers.keys())
        if twice:
            raise InputError("names", expected="one for each input and layer", got=f"{twice} twice")
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
        heard = [self.input_size(name, source) for source in sources]
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
        num_steps: length ``T`` of a trial in time steps.
        hidden_delay: steps from a hidden spike to the read-out neurons.
    """

    network: GLMNetwork
    num_steps: int
    hidden_delay: int

    @abstractmethod
    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Uniforms in [0, 1) for one batch: ``[T, B, size]`` of each layer, and what else is needed.

        Args:
            batch: batch size ``B``.
            rng: the seeded source; torch's global generator by default.
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

    def forward(self, labels: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Draws spikes ``[T, B, N]`` for labels ``[B]``."""
        return self.sample(labels, self.noise(len(labels), rng)).spikes

    def _run(
        self,
        labels: Tensor,
        noise: Mapping[str, Tensor],
        observed: Mapping[str, Tensor] | None = None,
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        runs = self.network.sample(self.exogenous(labels, noise), noise, observed, states)
        return GeneratorSample(runs["readout"].spikes, runs)

    def _uniforms(self, batch: int, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Noise ``[T, B, *size]`` of every layer by name."""
        device = next(self.parameters()).device
        network = self.network
        return {
            name: torch.rand(self.num_steps, batch, *network.sizes[name], generator=rng, device=device)
            for name, _ in network.glm_layers()
        }
