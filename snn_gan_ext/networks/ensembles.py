"""Networks of one structure side by side, as a leading axis of the same tensors."""

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.state import GLMSample
from snn_gan_ext.networks.discriminators import IntervalDiscriminator
from snn_gan_ext.networks.glm import GeneratorSample, NetworkGenerator
from snn_gan_ext.networks.labels import known_labels, labels_and_count
from snn_gan_ext.validation import check_finite, check_setting, check_values, whole

__all__ = ["DiscriminatorEnsemble", "Ensemble", "EnsembleSample", "MemberRun"]

N = TypeVar("N", bound=nn.Module)
R = TypeVar("R")


class MemberRun(NamedTuple):
    """One layer's spikes and potentials ``[T, J * B, N]`` in all members, one member after another."""

    spikes: Tensor
    potentials: Tensor

    @property
    def score(self) -> Tensor:
        r"""The post-synaptic term of eq. 5, :math:`s - \sigma(u)`, ``[T, J * B, N]``."""
        return glm.score(self.spikes, self.potentials)


class EnsembleSample(NamedTuple):
    """A batch drawn from all members: the trials of the first, then those of the second, and so on.

    Attributes:
        spikes: Spikes of the read-out neurons ``[T, J * B, *shape]``.
        runs: Run of each layer.
        members: The same runs by member ``[J, ...]``, for the learning rule.
        windows: Length of each layer's memory of inputs and of own spikes, in time steps.
    """

    spikes: Tensor
    runs: dict[str, MemberRun]
    members: dict[str, GLMSample]
    windows: dict[str, tuple[int, int]]


class _SideBySide(nn.Module, Generic[N]):
    """Networks of one structure: the code of one, and the parameters of all, ``[J, ...]``."""

    members: N
    kind: type[nn.Module] = nn.Module

    def __init__(self, networks: Sequence[N]) -> None:
        super().__init__()
        if not isinstance(networks, Sequence | nn.ModuleList) or not networks:
            raise InputError("members", expected="a list of networks", got=f"{networks!r}")
        for network in networks:
            _check_member(network, self.kind)
        for other in networks[1:]:
            _check_alike(networks[0], other)
        self.size, self.members = len(networks), copy.deepcopy(networks[0])
        for name, _ in list(self.members.named_parameters()):
            values = torch.stack([network.get_parameter(name).detach() for network in networks])
            _replace(self.members, name, values)
        # Kept out of the submodules: only its code is used, never its parameters.
        self._code = (_Application(copy.deepcopy(networks[0])),)

    def _share(self, batch: int) -> int:
        if batch < self.size or batch % self.size:
            raise InputError("batch", expected=f"a multiple of the {self.size} members", got=f"{batch}")
        return batch // self.size

    def _split(self, trials: Tensor, axis: int = 0) -> Tensor:
        """Return trials with the axis ``J * B`` as two, ``[J, B]``."""
        return trials.reshape(*trials.shape[:axis], self.size, -1, *trials.shape[axis + 1 :])

    def _each(self, function: Callable[..., R], *parts: Any) -> R:
        """Apply a function to each member and its parts ``[J, ...]``, all at once."""
        buffers = {f"network.{name}": x for name, x in self.members.named_buffers()}
        parameters = {f"network.{name}": x for name, x in self.members.named_parameters()}
        axes: dict[str, int | None] = {**dict.fromkeys(buffers), **dict.fromkeys(parameters, 0)}

        def apply(tensors: dict[str, Tensor], *parts: Any) -> Any:
            return functional_call(self._code[0], tensors, (function, *parts))

        in_dims = (axes, *(None if part is None else 0 for part in parts))
        found: R = vmap(apply, in_dims=in_dims)({**buffers, **parameters}, *parts)
        return found


class Ensemble(_SideBySide[NetworkGenerator]):
    """J generators of one structure, sampled and trained at once by one set of tensors.

    It is a generator itself, which splits each batch evenly among its members. `SpikeGAN` trains the
    members independently, `BayesSpikeGAN` as particles of one posterior.

    Args:
        generators: Members, which differ in their parameters' values only.

    Attributes:
        size: Number of members J.
        classes: Number of labels of each member.
        shape: Sizes of a trial behind time and batch.
        hidden_delay: Time steps from a hidden spike to the read-out neurons.
        members: A generator whose parameters are those of all members, ``[J, ...]``.

    Raises:
        InputError: If there is none, they differ in more than their parameters' values, or a member has
            two names for one parameter.
    """

    kind = NetworkGenerator

    def __init__(self, generators: Sequence[NetworkGenerator]) -> None:
        super().__init__(generators)
        self.classes, self.shape = self.members.classes, self.members.shape
        self.hidden_delay = self.members.hidden_delay

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw noise ``[J, ...]`` for a batch of all members; see `NetworkGenerator.noise`.

        Raises:
            InputError: If the batch cannot be split evenly.
        """
        each = self._share(batch)
        drawn = [self.members.noise(each, rng) for _ in range(self.size)]
        return {name: torch.stack([noise[name] for noise in drawn]) for name in drawn[0]}

    @torch.no_grad()
    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> EnsembleSample:
        """Draw a trial for each label ``[J * B]``, or for None; see `NetworkGenerator.sample`.

        Raises:
            InputError: If the batch cannot be split evenly, a label or the noise is out of range, there
                are no labels for several classes, or a potential is not finite.
        """
        # Values cannot be read inside vmap: inputs and outputs are checked around it.
        labels = known_labels(labels, self.classes, self.size * noise["readout"].shape[2])
        for name, values in noise.items():
            fits = (values >= 0) & (values <= 1)
            check_values(f"noise of {name!r}", values, fits, "values in [0, 1)")
        windows: dict[str, tuple[int, int]] = {}

        def draw(member: NetworkGenerator, *given: Any) -> dict[str, GLMSample]:
            runs = member.sample(*given).runs
            windows.update({name: run.windows for name, run in runs.items()})
            # vmap returns tensors only.
            return {name: run._replace(windows=()) for name, run in runs.items()}  # type: ignore[arg-type]

        split = None if labels is None else self._split(labels)
        members = self._each(draw, split, dict(noise))
        runs = {
            name: MemberRun(*(x.movedim(0, 1).flatten(1, 2) for x in (run.spikes, run.potentials)))
            for name, run in members.items()
        }
        for run in runs.values():
            check_finite("membrane potential", run.potentials)
        spikes = runs["readout"].spikes
        return EnsembleSample(spikes.reshape(*spikes.shape[:2], *self.shape), runs, members, windows)

    @torch.no_grad()
    def gradients(
        self, sample: EnsembleSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients ``[J, ...]`` by parameter name.

        Args:
            sample: Batch from `sample`.
            errors: Error ``[T, J * B, N]`` of each layer.
            per_sample: Whether to keep the batch axis, behind the members', instead of summing over it.
        """

        def learn(
            member: NetworkGenerator, runs: dict[str, GLMSample], errors: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            whole = {name: run._replace(windows=sample.windows[name]) for name, run in runs.items()}
            drawn = GeneratorSample(whole["readout"].spikes, whole)
            return member.gradients(drawn, errors, per_sample=per_sample)

        for name, error in errors.items():
            check_finite(f"error of {name!r}", error)
        split = {name: self._split(error, 1).movedim(1, 0) for name, error in errors.items()}
        gradients = self._each(learn, sample.members, split)
        return {f"members.{name}": gradient.contiguous() for name, gradient in gradients.items()}

    def forward(self, labels: Tensor | int, rng: torch.Generator | None = None) -> Tensor:
        """Draw trials ``[T, B, *shape]``, each from a random member; see `draw`."""
        return self.draw(labels, rng)[0]

    def draw(self, labels: Tensor | int, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw trials ``[T, B, *shape]``, each from a random member; return its index ``[B]`` as well.

        Args:
            labels: Labels ``[B]``, or the number of trials ``B`` without labels.
            rng: Random source; torch's global one by default.
        """
        given, count = labels_and_count(labels)
        device = next(self.parameters()).device
        chosen = torch.randint(self.size, (count,), generator=rng, device=device)
        everyone = None if given is None else given.repeat(self.size)
        spikes = self.sample(everyone, self.noise(count * self.size, rng)).spikes
        return self._split(spikes, 1)[:, chosen, torch.arange(count, device=device)], chosen

    def member(self, place: int) -> NetworkGenerator:
        """Return a copy of one member as a generator.

        Raises:
            InputError: If ``place`` lies outside ``0 .. size - 1``.
        """
        check_setting("member", place, whole(0, self.size - 1))
        alone = copy.deepcopy(self.members)
        for name, parameter in self.members.named_parameters():
            _replace(alone, name, parameter.detach()[place].clone())
        return alone


class DiscriminatorEnsemble(_SideBySide[nn.Module]):
    """J discriminators of one structure, each of which receives its share of the batch.

    Beside an `Ensemble` of as many generators it makes J pairs, which `SpikeGAN` trains at once.

    Args:
        discriminators: Members, which differ in their parameters' values only. ``torch.vmap`` must be
            able to run them, as it does `MLPDiscriminator`; it cannot run `IntervalDiscriminator` or
            layers with one spike.

    Attributes:
        size: Number of members J.
        classes: Number of labels of each member.
        members: A discriminator whose parameters are those of all members, ``[J, ...]``.

    Raises:
        InputError: If there is none, they cannot run under ``torch.vmap``, or they differ in more than
            their parameters' values.
    """

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__(discriminators)
        first, classes = discriminators[0], getattr(discriminators[0], "classes", None)
        if type(classes) is not int or isinstance(first, IntervalDiscriminator):
            expected = "networks of decoded trials with an attribute classes, as MLPDiscriminator"
            raise InputError("discriminators", expected=expected, got=type(first).__name__)
        self.classes = classes

    def forward(self, decoded: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits ``[J * B]`` of trials ``[J * B, ...]``; see `TrialDiscriminator.forward`.

        Raises:
            InputError: If the batch cannot be split evenly, or labels do not fit.
        """
        self._share(len(decoded))
        labels = known_labels(labels, self.classes, len(decoded))  # vmap cannot read values
        split = None if labels is None else self._split(labels)
        logits: Tensor = self._each(operator.call, self._split(decoded), split)
        return logits.flatten()


class _Application(nn.Module):
    """A function's call on a network: `functional_call` calls nothing but ``forward``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, function: Callable[..., Any], *parts: Any) -> Any:
        return function(self.network, *parts)


def _replace(module: nn.Module, name: str, values: Tensor) -> None:
    """Replace the parameter of this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(values))


def _check_member(network: nn.Module, kind: type[nn.Module]) -> None:
    if not isinstance(network, kind):
        raise InputError("members", expected=f"a {kind.__name__} each", got=type(network).__name__)
    named = [dict(network.named_parameters(remove_duplicate=alone)) for alone in (True, False)]
    if tied := sorted(named[1].keys() - named[0].keys()):
        raise InputError("members", expected="parameters of one name each", got=f"tied {tied}")


def _check_alike(first: nn.Module, other: nn.Module) -> None:
    """Check that two networks differ in their parameters' values only."""
    ours, theirs = _fixed(first), _fixed(other)
    names = ours.keys() | theirs.keys()
    differing = sorted(name for name in names if not _equal(ours.get(name), theirs.get(name)))
    if differing:
        expected = "parameters of the same names and shapes, and the same settings"
        raise InputError("members", expected=expected, got=f"others of {', '.join(differing)}")


def _fixed(module: nn.Module) -> dict[str, Any]:
    """Return the parameters' shapes, buffers and delays, and the plain settings of all submodules."""
    parameters = dict(module.named_parameters())
    tensors = {name: x for name, x in module.state_dict().items() if name not in parameters}
    shapes = {name: (x.shape, x.dtype) for name, x in parameters.items()}
    settings = {
        f"{place}.{name}": value
        for place, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, int | float | str | tuple) and name != "training"
    }
    return {**tensors, **shapes, **settings}


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(torch.equal(a, b) if isinstance(a, Tensor) else a == b)
