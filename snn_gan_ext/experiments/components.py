"""Components of experiments: data, generators and discriminators as settings."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from snn_gan_ext.coding.events import Binning
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.spike_trains import SpikeTrains
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.settings import Settings
from snn_gan_ext.functional import bases
from snn_gan_ext.networks import discriminators, generators, ttfs
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.population import PopulationGenerator
from snn_gan_ext.rng import stream
from snn_gan_ext.types import setting
from snn_gan_ext.validation import Rule, above, at_least, check_setting, whole

__all__ = [
    "MLP",
    "TTFS",
    "Basis",
    "Classifier",
    "Conditional",
    "Convolutional",
    "Data",
    "DiscriminatorSettings",
    "GeneratorSettings",
    "Intervals",
    "OnOff",
    "OrdinaryGenerator",
    "Particles",
    "Population",
    "Prefixes",
    "StepResponse",
    "Temporal",
    "in_turn",
    "pick",
]

Decode = Callable[[Tensor], Tensor] | None
LARGE = 100_000


@dataclass(frozen=True, kw_only=True)
class Data(Settings, ABC):
    """Real trials; subclasses are frozen dataclasses of settings, which load when first used."""

    @property
    def classes(self) -> int:
        """Number of classes; 0 where trials have no labels."""
        return 0

    @property
    def binning(self) -> Binning | None:
        """Coding of recordings as spikes, where the data are events."""
        return None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Sizes of a trial: time steps, then neurons or channels, height and width."""

    @abstractmethod
    def batch(self, size: int, rng: torch.Generator) -> Any:
        """Draw a training batch, on the device of the random source."""

    def load(self) -> None:
        """Load the data, so that missing ones are missed before anything is written."""

    def fingerprint(self) -> str:
        """Return a hash of data that a user brings; empty for data of the package or of a seed."""
        return ""

    def trains_of(self, drawn: Mapping[str, Tensor], rng: torch.Generator) -> SpikeTrains | None:
        """Return drawn trials as spike trains of units; None where they are none of a recording."""
        return None

    def labels(self, count: int, label: int | None = None) -> Tensor | int:
        """Return labels ``[count]``: all of one class, or the classes in turn.

        Without labels it returns the count.

        Raises:
            InputError: If the label is no class of the data, or the count is out of bounds.
        """
        check_setting("count", count, whole(0, 100_000_000))
        if not self.classes:
            if label is not None:
                raise InputError("label", expected="none, as trials have no labels", got=f"{label}")
            return count
        if label is None:
            return in_turn(count, self.classes)
        last = self.classes - 1
        check_setting("label", label, Rule(f"0 .. {last}", whole(0, last).allows))
        return torch.full((count,), label)


def in_turn(count: int, classes: int) -> Tensor:
    """Return labels ``[count]``, the classes in turn."""
    return torch.arange(count) % classes


def pick(data: Labelled, size: int, rng: torch.Generator) -> Labelled:
    """Draw images with replacement, on the device of the random source."""
    picks = torch.randint(len(data.labels), (size,), generator=rng, device=rng.device).cpu()
    return Labelled(data.images[picks].to(rng.device), data.labels[picks].to(rng.device))


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings, ABC):
    """Settings of a network; subclasses are frozen dataclasses."""

    def initialise(self, network: nn.Module, data: Data) -> None:
        """Initialise a network from the data, before training."""


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings(NetworkSettings):
    """Settings of a generator."""

    @abstractmethod
    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        """Build the network for trials such as the data's, with weights drawn from ``rng``."""

    def build_many(self, count: int, data: Data, rng: torch.Generator) -> list[nn.Module]:
        """Build the members of an ensemble."""
        return [self.build(data, rng) for _ in range(count)]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings(NetworkSettings):
    """Settings of a discriminator."""

    @abstractmethod
    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        """Build the network for decoded trials, with weights drawn from ``rng``."""


@dataclass(frozen=True, kw_only=True)
class Basis(Settings):
    """Temporal basis of synapses and feedback.

    Attributes:
        kind: Shape of the functions: one exponential, raised cosines, or one function a lag.
        functions: Number of raised cosines.
        window: Length in time steps.
        decay: Time constant of the exponential in time steps.
        area: Sum over all functions and lags that the basis is scaled to; 0 to leave it as it is.
    """

    kind: Literal["exponential", "raised_cosine", "identity"] = "exponential"
    functions: int = setting(1, whole(1, 10_000))
    window: int = setting(6, whole(1, 10_000))
    decay: float = setting(2.0, above(0))
    area: float = setting(0.0, at_least(0))

    def check(self) -> None:
        check_setting("functions", self.functions, whole(1, self.window))

    def tensor(self) -> Tensor:
        """Return the basis ``[K, L]``."""
        if self.kind == "identity":
            basis = bases.identity_basis(self.window)
        elif self.kind == "raised_cosine":
            basis = bases.raised_cosine_basis(self.functions, self.window)
        else:
            basis = bases.exponential_basis(self.window, self.decay)
        return basis * (self.area / basis.sum()) if self.area else basis


def _options(settings: Settings, rng: torch.Generator, *without: str) -> dict[str, Any]:
    """Return settings and the random source as keyword arguments of a network."""
    names = [each.name for each in fields(settings) if each.name not in without]
    found = {name: getattr(settings, name) for name in names}
    tensors = {name: x.tensor() for name, x in found.items() if isinstance(x, Basis)}
    return {**found, **tensors, "rng": rng}


@dataclass(frozen=True, kw_only=True)
class Conditional(GeneratorSettings):
    """`ConditionalGenerator`: label, latent bits, hidden and read-out neurons.

    Attributes:
        hidden: Number of hidden neurons.
        latent_bits: Number of random bits, drawn once a trial and held through it.
        gate_latent: Separate synapses from the bits for each class.
        label_std: Standard deviation of the initial weights of label-to-hidden synapses.
        weight_std: Standard deviation of all other initial weights.
        latent_scale: Factors on the initial weights from the bits to hidden and to read-out neurons.
        hidden_feedback: Initial self-feedback of hidden neurons.
        hidden_delay: Time steps from a hidden spike to the read-out neurons.
        class_rates: Initialise the label's synapses for the classes' rates of the read-out neurons.
        basis: Temporal basis.
    """

    hidden: int = setting(64, whole(0, LARGE))
    latent_bits: int = setting(32, whole(0, 10_000))
    gate_latent: bool = True
    label_std: float = 0.9
    weight_std: float = 0.3
    latent_scale: tuple[float, float] = (0.5, 0.3)
    hidden_feedback: float = 3.0
    hidden_delay: int = setting(1, whole(0, 10_000))
    class_rates: bool = False
    basis: Basis = Basis()

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        num_steps, *readout = data.shape
        frame = tuple(readout) if len(readout) > 1 else readout[0]
        options = _options(self, rng, "class_rates")
        return generators.ConditionalGenerator(max(data.classes, 1), frame, num_steps, **options)

    def initialise(self, network: nn.Module, data: Data) -> None:
        if self.class_rates:
            assert isinstance(network, generators.ConditionalGenerator)
            rates: Tensor = data.class_rates()  # type: ignore[attr-defined]
            rates = rates.reshape(*rates.shape[:2], *data.shape[1:])
            network.initialise_rates(rates.to(next(network.parameters()).device))


@dataclass(frozen=True, kw_only=True)
class Population(GeneratorSettings):
    """`PopulationGenerator`: coupled neurons that follow a drive.

    Attributes:
        by_step: Let the drive differ from step to step.
        coupling: Let neurons hear each other's past.
        same_step: Let each neuron hear those before it within a step.
        counts: Entries of a table of how many neurons before it have fired in the step.
        hidden: Number of hidden neurons, which hear the past spikes.
        latent_bits: Number of random bits, drawn once a trial and held through it.
        latent_std: Standard deviation of the initial weights of bits.
        coupling_std: Standard deviation of the initial weights of feedback and coupling.
        readout_bias: Initial bias of the neurons.
        class_rates: Initialise the drive for the rates of the data.
        basis: Temporal basis of feedback and coupling.
    """

    by_step: bool = False
    coupling: bool = True
    same_step: bool = False
    counts: int = setting(0, whole(0, 1000))
    hidden: int = setting(0, whole(0, LARGE))
    latent_bits: int = setting(0, whole(0, 10_000))
    latent_std: float = setting(0.1, at_least(0))
    coupling_std: float = setting(0.0, at_least(0))
    readout_bias: float = -2.0
    class_rates: bool = False
    basis: Basis = Basis()

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        num_steps, neurons = data.shape
        options = _options(self, rng, "class_rates")
        options["same_step"] = "triangular" if self.same_step else None
        options["counts"] = min(self.counts, neurons)
        return PopulationGenerator(max(data.classes, 1), neurons, num_steps, **options)

    def initialise(self, network: nn.Module, data: Data) -> None:
        if self.class_rates:
            assert isinstance(network, PopulationGenerator)
            device = next(network.parameters()).device
            rates: Tensor = data.class_rates()  # type: ignore[attr-defined]
            network.initialise_rates(rates.to(device), stream(0, "initial rates", device))


@dataclass(frozen=True, kw_only=True)
class Convolutional(GeneratorSettings):
    """`ConvolutionalGenerator` of event frames: hidden maps and a transposed convolution.

    Attributes:
        maps: Number of hidden maps.
        stride: Read-out pixels between two pixels of a map.
        latent_bits: Number of random bits, drawn once a trial and held through it.
        basis: Temporal basis.
    """

    maps: int = setting(16, whole(1, 1000))
    stride: int = setting(4, whole(1, 1000))
    latent_bits: int = setting(32, whole(0, 10_000))
    basis: Basis = Basis()

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        num_steps, channels, height, width = data.shape
        kernel = self.stride + 2 - height % 2  # of the frame's parity, for even margins
        options = {**_options(self, rng), "kernel_size": kernel}
        frame = (channels, height, width)
        return generators.ConvolutionalGenerator(data.classes, frame, num_steps, **options)


@dataclass(frozen=True, kw_only=True)
class StepResponse(GeneratorSettings):
    """`StepResponseGenerator`: neurons that receive a step function.

    Attributes:
        weight_std: Standard deviation of the initial weights.
        shared_std: Standard deviation of a part of the weights that all particles share.
        bias_init: Mean of the initial biases.
        bias_std: Standard deviation of the initial biases.
        basis: Temporal basis.
    """

    weight_std: float = setting(0.1, at_least(0))
    shared_std: float = setting(0.1, at_least(0))
    bias_init: float = -1.0
    bias_std: float = setting(0.3, at_least(0))
    basis: Basis = Basis()

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        return self.build_many(1, data, rng)[0]

    def build_many(self, count: int, data: Data, rng: torch.Generator) -> list[nn.Module]:
        num_steps, neurons = data.shape
        options = _options(self, rng, "shared_std", "bias_std")
        shared: dict[str, Tensor] = {}
        members: list[nn.Module] = [
            generators.StepResponseGenerator(neurons, num_steps, **options) for _ in range(count)
        ]
        for member in members:
            for name, parameter in member.named_parameters():
                if name.endswith("bias"):
                    offset = self.bias_std * torch.randn(parameter.shape, generator=rng)
                else:
                    drawn = self.shared_std * torch.randn(parameter.shape, generator=rng)
                    offset = shared.setdefault(name, drawn)
                parameter.data += offset
        return members


@dataclass(frozen=True, kw_only=True)
class Particles(GeneratorSettings):
    """An `Ensemble` of generators: the particles of Bayes-SpikeGAN.

    Attributes:
        size: Number of particles, among which a batch is split.
        member: Each particle.
    """

    size: int = setting(5, whole(1, 1000))
    member: GeneratorSettings

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        members = self.member.build_many(self.size, data, rng)
        return Ensemble(cast("list[NetworkGenerator]", members))


@dataclass(frozen=True, kw_only=True)
class Classifier(GeneratorSettings):
    """`TTFSClassifier`: two layers of neurons that spike at most once.

    Attributes:
        hidden: Number of hidden neurons.
    """

    hidden: int = setting(400, whole(1, LARGE))

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        num_steps, features = data.shape
        return ttfs.TTFSClassifier(features, data.classes, num_steps, **_options(self, rng))


@dataclass(frozen=True, kw_only=True)
class TTFS(GeneratorSettings):
    """`TTFSGenerator`: random latencies to firing times of pixels.

    Attributes:
        latents: Number of random inputs.
        hidden: Number of hidden neurons.
    """

    network: ClassVar[type[nn.Module]] = ttfs.TTFSGenerator
    latents: int = setting(32, whole(1, 10_000))
    hidden: int = setting(128, whole(1, LARGE))

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        return self.network(data.shape[-1], max(data.classes, 1), **_options(self, rng))


@dataclass(frozen=True, kw_only=True)
class OrdinaryGenerator(TTFS):
    """`MLPGenerator`: an ordinary network with one hidden layer.

    Attributes:
        hidden: Number of hidden units.
    """

    network: ClassVar[type[nn.Module]] = MLPGenerator


@dataclass(frozen=True, kw_only=True)
class MLP(DiscriminatorSettings):
    """`MLPDiscriminator`: an ordinary feed-forward network.

    Attributes:
        hidden: Units of each hidden layer.
        label_scale: Factor on the label in the input.
        projection: Add a projection of the last hidden layer on the label.
    """

    hidden: tuple[int, ...] = (256, 256)
    label_scale: float = 4.0
    projection: bool = False

    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        silence = torch.zeros(data.shape[0], 1, *data.shape[1:])
        features = data.shape[-1] if decode is None else decode(silence).shape[1]
        return discriminators.MLPDiscriminator(features, max(data.classes, 1), **_options(self, rng))


@dataclass(frozen=True, kw_only=True)
class Temporal(DiscriminatorSettings):
    """`TemporalDiscriminator`: convolutions over time.

    Attributes:
        layers: Channels, kernel and stride of each convolution.
        label_scale: Factor on the label channels.
    """

    layers: tuple[tuple[int, int, int], ...] = ((128, 4, 2), (1, 4, 1))
    label_scale: float = 4.0

    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        neurons = math.prod(data.shape[1:])
        return discriminators.TemporalDiscriminator(
            neurons, data.classes, data.shape[0], **_options(self, rng)
        )


@dataclass(frozen=True, kw_only=True)
class Prefixes(DiscriminatorSettings):
    """`PrefixDiscriminator`: a logit at every step, from traces of the spikes so far.

    Attributes:
        decays: Decay of each trace in a step.
        hidden: Units of each hidden layer.
        label_scale: Factor on the label in the input.
    """

    decays: tuple[float, ...] = (0.0, 0.6, 1.0)
    hidden: tuple[int, ...] = (256, 256)
    label_scale: float = 4.0

    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        num_steps, neurons = data.shape
        return discriminators.PrefixDiscriminator(
            neurons, data.classes, num_steps, **_options(self, rng)
        )


@dataclass(frozen=True, kw_only=True)
class Intervals(DiscriminatorSettings):
    """`IntervalDiscriminator` of the intervals between spikes."""

    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        num_steps, neurons = data.shape
        return discriminators.IntervalDiscriminator(neurons, num_steps, rng=rng)

    def initialise(self, network: nn.Module, data: Data) -> None:
        """Set the scale to the mean number of spikes in a trial."""
        trials: Tensor = data.trials_to_learn_from  # type: ignore[attr-defined]
        network.get_buffer("scale").fill_(max(1.0, float(trials.sum(0).mean())))


@dataclass(frozen=True, kw_only=True)
class OnOff(DiscriminatorSettings):
    """`OnOffDiscriminator`: neurons that spike at most once.

    Attributes:
        hidden: Number of hidden neurons.
        weight_scale: Scale of their initial weights.
    """

    hidden: int = setting(192, whole(1, LARGE))
    weight_scale: float = setting(3.0, at_least(0))

    def build(self, data: Data, decode: Decode, rng: torch.Generator) -> nn.Module:
        return ttfs.OnOffDiscriminator(data.shape[-1], max(data.classes, 1), **_options(self, rng))
