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

__all__ = ["GLMNetwork", "GeneratorSample", "NetworkGenerator"]


class GLMNetwork(nn.Module):
    """GLM layers in an order in which each receives exogenous inputs and earlier layers only.

    Eq. 4 of the SpikeGAN paper needs a wiring without loops other than each neuron's own feedback. The
    order ensures that, and lets every layer run over all of T at once. Masks of the layers make finer
    wirings.

    Args:
        inputs: Size of each exogenous input by name.
        layers: Layers by name, dense or convolutional, in the order in which they run.
        wiring: Names of each layer's sources, concatenated in this order: neurons for a dense layer,
            channels for a convolutional one.
        maps: Frame ``(C, H, W)`` of each input or dense layer that a convolutional layer receives.

    Attributes:
        sizes: Sizes of the spikes of each input and layer behind time and batch.

    Raises:
        InputError: If a layer's source does not come before it, sizes differ, or a name is used twice.
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
        """Sample every layer in turn, except for those whose spikes are given.

        Args:
            exogenous: Spikes ``[T, B, size]`` of each input.
            uniforms: Noise ``[T, B, *size]`` of each layer that is sampled.
            observed: Spikes ``[T, B, *size]`` of each layer that is clamped.
            states: State of each layer before the first step; silence by default.

        Returns:
            Run of each layer, as `GLMLayer.sample` returns it.
        """
        self._check_exogenous(exogenous)
        signals = dict(exogenous)
        runs = {}
        for name, layer in self.glm_layers():
            parts = [self._as_input(name, source, signals[source]) for source in self.wiring[name]]
            received = torch.cat(parts, 2)
            state = states[name] if states else None
            if observed and name in observed:
                runs[name] = layer.observe(received, observed[name], state)
            else:
                runs[name] = layer.sample(received, state, uniforms=uniforms[name])
            signals[name] = runs[name].spikes
        return runs

    def gradients(
        self,
        runs: Mapping[str, GLMSample],
        errors: Mapping[str, Tensor],
        *,
        per_sample: bool = False,
    ) -> dict[str, Tensor]:
        """Return closed-form gradients of all parameters.

        Args:
            runs: Runs from `sample`.
            errors: Error ``[T, B, *size]`` of each layer.
            per_sample: Whether to keep the batch axis, in front, instead of summing over it.

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
        """Return the layers with their names, in the order in which they run."""
        return [(name, layer) for name, layer in self.layers.items() if isinstance(layer, GLMNeurons)]

    def input_size(self, name: str, source: str) -> tuple[int, ...]:
        """Return the sizes in which a layer receives a source: ``(N,)``, or ``(C, H, W)``."""
        layer, size = self.layers[name], self.sizes[source]
        assert isinstance(layer, GLMNeurons)
        return (math.prod(size),) if len(layer.input_axes) == 1 else self.maps.get(source, size)

    def _as_input(self, name: str, source: str, spikes: Tensor) -> Tensor:
        return spikes.reshape(*spikes.shape[:2], *self.input_size(name, source))

    def _check_exogenous(self, exogenous: Mapping[str, Tensor]) -> None:
        sizes = {name: spikes.shape[-1] for name, spikes in exogenous.items()}
        if sizes != self.inputs:
            raise InputError("exogenous", expected=f"inputs of sizes {self.inputs}", got=f"{sizes}")

    def _measure(self) -> None:
        """Find the sizes of each input's and each layer's spikes behind time and batch."""
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
        received = [self.input_size(name, source) for source in sources]
        for source, size in zip(sources, received, strict=True):
            if math.prod(size) != math.prod(self.sizes[source]) or len(size) != len(received[0]):
                raise InputError(
                    f"maps[{source!r}]",
                    expected=f"{math.prod(self.sizes[source])} neurons, as {source!r} has",
                    got=f"{size}",
                )
        axes, behind = layer.input_axes, received[0][1:]
        if len(received[0]) != len(axes) or any(size[1:] != behind for size in received):
            raise InputError(
                f"layer {name!r}",
                expected="sources that are frames (C, H, W) of one height and width",
                got=f"{dict(zip(sources, received, strict=True))}",
                cure="give the frame of a dense layer's neurons with maps=",
            )
        total = sum(size[0] for size in received)
        if total != axes[0]:
            raise InputError(
                f"layer {name!r}",
                expected=f"{total} in_features or in_channels, the sum of {list(sources)}",
                got=f"{axes[0]}",
            )
        return layer.output_size((total, *behind))


class GeneratorSample(NamedTuple):
    """A batch drawn from a generator.

    Attributes:
        spikes: Spikes of the read-out neurons ``[T, B, *shape]``.
        runs: Run of each layer, for the learning rule.
    """

    spikes: Tensor
    runs: dict[str, GLMSample]


class NetworkGenerator(nn.Module, ABC):
    """A generator made of one `GLMNetwork`, whose layer ``readout`` emits the trials.

    A subclass defines the network's inputs (`exogenous`) and the noise of a batch (`noise`).

    Attributes:
        network: Layers of the generator.
        num_steps: Number of time steps ``T`` of a trial.
        hidden_delay: Time steps from a hidden spike to the read-out neurons.
        classes: Number of labels; 0 for a generator without labels.
        size: Number of generators: 1. An `Ensemble` has more.
    """

    network: GLMNetwork
    num_steps: int
    hidden_delay: int
    classes: int = 0
    size: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of a trial behind time and batch."""
        return self.network.sizes["readout"]

    @abstractmethod
    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw the noise of one batch: uniforms in [0, 1) ``[T, B, *size]`` of each layer, and others.

        Args:
            batch: Number of trials ``B``.
            rng: Random source; torch's global one by default.
        """

    @abstractmethod
    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's inputs, spikes ``[T, B, size]`` by name.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`, or some steps of it.
        """

    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> GeneratorSample:
        """Draw one trial for each label.

        Args:
            labels: Whole numbers ``[B]``; None for trials without labels.
            noise: Noise from `noise`.

        Raises:
            InputError: If a label is out of range, or there are none for several classes.
        """
        return self._run(labels, noise)

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
        size = self.network.sizes["readout"]
        if math.prod(spikes.shape[2:]) == math.prod(size):
            spikes = spikes.reshape(*spikes.shape[:2], *size)
        return self._run(labels, noise, {"readout": spikes}, states)

    def gradients(
        self, sample: GeneratorSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients by parameter name; see `GLMNetwork.gradients`."""
        gradients = self.network.gradients(sample.runs, errors, per_sample=per_sample)
        return {f"network.{name}": gradient for name, gradient in gradients.items()}

    def forward(self, labels: Tensor | int, rng: torch.Generator | None = None) -> Tensor:
        """Draw trials.

        Args:
            labels: Labels ``[B]``, or the number of trials ``B`` without labels.
            rng: Random source; torch's global one by default.

        Returns:
            Spikes ``[T, B, *shape]``.
        """
        given, count = labels_and_count(labels)
        return self.sample(given, self.noise(count, rng)).spikes

    def _run(
        self,
        labels: Tensor | None,
        noise: Mapping[str, Tensor],
        observed: Mapping[str, Tensor] | None = None,
        states: Mapping[str, GLMState] | None = None,
    ) -> GeneratorSample:
        runs = self.network.sample(self.exogenous(labels, noise), noise, observed, states)
        spikes = runs["readout"].spikes
        return GeneratorSample(spikes.reshape(*spikes.shape[:2], *self.shape), runs)

    def _uniforms(self, batch: int, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Draw noise ``[T, B, *size]`` for every layer by name."""
        device = next(self.parameters()).device
        network = self.network
        return {
            name: torch.rand(self.num_steps, batch, *network.sizes[name], generator=rng, device=device)
            for name, _ in network.glm_layers()
        }
