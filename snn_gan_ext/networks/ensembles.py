"""Networks of one structure side by side, as a leading axis of the same tensors."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.state import GLMSample
from snn_gan_ext.networks.discriminators import IntervalDiscriminator
from snn_gan_ext.networks.glm import NetworkGenerator
from snn_gan_ext.networks.labels import known_labels, labels_and_count
from snn_gan_ext.validation import check_finite

__all__ = ["DiscriminatorEnsemble", "Ensemble", "EnsembleSample", "MemberRun"]

N = TypeVar("N", bound=nn.Module)


class MemberRun(NamedTuple):
    """One layer's run in all members, their trials one after another along the batch axis.

    Attributes:
        spikes: Spikes ``[T, J * B, N]``.
        potentials: Membrane potentials ``[T, J * B, N]``.
    """

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


class Ensemble(nn.Module):
    """J generators of one structure, sampled and trained at once by one set of tensors.

    Its parameters have the members' names, and the members as first axis: ``[J, ...]``. It is a
    generator itself, which splits each batch among its members in equal parts. `SpikeGAN` trains the
    members independently, `BayesSpikeGAN` as particles of one posterior.

    Args:
        generators: Members, which differ in their parameters' values only.

    Attributes:
        size: Number of members J.
        classes: Number of labels of each member.
        shape: Sizes of a trial behind time and batch.
        members: A generator whose parameters are those of all members, ``[J, ...]``.

    Raises:
        InputError: If there is none, or they differ in more than their parameters' values.
    """

    def __init__(self, generators: Sequence[NetworkGenerator]) -> None:
        super().__init__()
        self.size = len(generators)
        self.members = _stacked(generators)
        self.classes, self.shape = self.members.classes, self.members.shape
        # Kept out of the submodules: only its code is used, never its parameters.
        self._code = (copy.deepcopy(generators[0]),)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw noise ``[J, ...]`` for all members.

        Args:
            batch: Number of trials of all members.
            rng: Random source; torch's global one by default.

        Raises:
            InputError: If the batch cannot be split evenly.
        """
        each = _share(batch, self.size)
        drawn = [self.members.noise(each, rng) for _ in range(self.size)]
        return {name: torch.stack([noise[name] for noise in drawn]) for name in drawn[0]}

    @torch.no_grad()
    def sample(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> EnsembleSample:
        """Draw a trial for each label: the first share from the first member, and so on.

        Args:
            labels: Whole numbers ``[J * B]``; None for trials without labels.
            noise: Noise from `noise`.

        Raises:
            InputError: If the batch cannot be split evenly, a label or the noise is out of range, there
                are no labels for several classes, or a potential is not finite.
        """
        # Values cannot be read inside vmap: inputs and outputs are checked around it.
        batch = self.size * noise["readout"].shape[2]
        labels = known_labels(labels, self.classes, batch)
        for name, values in noise.items():
            if values.numel() and not 0 <= values.min() <= values.max() <= 1:  # no NaN passes this
                raise InputError(
                    f"noise of {name!r}", expected="values in [0, 1)", got="others, or NaN"
                )
        windows: dict[str, tuple[int, int]] = {}

        def draw(
            tensors: dict[str, Tensor], labels: Tensor | None, noise: dict[str, Tensor]
        ) -> dict[str, GLMSample]:
            runs: Mapping[str, GLMSample] = self._call(tensors, "sample", labels, noise).runs
            windows.update({name: run.windows for name, run in runs.items()})
            # vmap returns tensors only.
            return {name: run._replace(windows=()) for name, run in runs.items()}  # type: ignore[arg-type]

        split = None if labels is None else labels.reshape(self.size, -1)
        in_dims = (_axes(self.members), None if split is None else 0, 0)
        members = vmap(draw, in_dims=in_dims)(_tensors(self.members), split, dict(noise))
        runs = {
            name: MemberRun(_one_batch(run.spikes), _one_batch(run.potentials))
            for name, run in members.items()
        }
        for run in runs.values():
            check_finite("membrane potential", run.potentials)
        spikes = runs["readout"].spikes
        spikes = spikes.reshape(*spikes.shape[:2], *self.shape)
        return EnsembleSample(spikes, runs, members, windows)

    @torch.no_grad()
    def gradients(
        self, sample: EnsembleSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Return closed-form gradients by parameter name.

        Args:
            sample: Batch from `sample`.
            errors: Error ``[T, J * B, N]`` of each layer.
            per_sample: Whether to keep the batch axis, behind the members', instead of summing over it.

        Returns:
            Gradients ``[J, ...]``, each summed over a member's share of the batch.
        """

        def learn(
            tensors: dict[str, Tensor], runs: dict[str, GLMSample], errors: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            whole = {name: run._replace(windows=sample.windows[name]) for name, run in runs.items()}
            drawn = sample._replace(spikes=whole["readout"].spikes, runs=whole)  # type: ignore[arg-type]
            gradients: dict[str, Tensor] = self._call(
                tensors, "gradients", drawn, errors, per_sample=per_sample
            )
            return gradients

        for name, error in errors.items():
            check_finite(f"error of {name!r}", error)
        split = {name: self._by_member(error).movedim(1, 0) for name, error in errors.items()}
        in_dims = (_axes(self.members), 0, 0)
        gradients = vmap(learn, in_dims=in_dims)(_tensors(self.members), sample.members, split)
        return {f"members.{name}": gradient.contiguous() for name, gradient in gradients.items()}

    def forward(self, labels: Tensor | int, rng: torch.Generator | None = None) -> Tensor:
        """Draw trials, each from a random member.

        Args:
            labels: Labels ``[B]``, or the number of trials ``B`` without labels.
            rng: Random source; torch's global one by default.

        Returns:
            Spikes ``[T, B, *shape]``.
        """
        return self.draw(labels, rng)[0]

    def draw(self, labels: Tensor | int, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw trials as `forward` does; return them and the index of each trial's member ``[B]``."""
        given, count = labels_and_count(labels)
        device = next(self.parameters()).device
        chosen = torch.randint(self.size, (count,), generator=rng, device=device)
        everyone = None if given is None else given.repeat(self.size)
        spikes = self.sample(everyone, self.noise(count * self.size, rng)).spikes
        return self._by_member(spikes)[:, chosen, torch.arange(count, device=device)], chosen

    def member(self, place: int) -> NetworkGenerator:
        """Return a copy of one member as a generator.

        Raises:
            InputError: If ``place`` lies outside ``0 .. size - 1``.
        """
        if not 0 <= place < self.size:
            raise InputError("member", expected=f"0 .. {self.size - 1}", got=f"{place}")
        alone = copy.deepcopy(self.members)
        for name, parameter in self.members.named_parameters():
            _replace(alone, name, parameter.detach()[place].clone())
        return alone

    def _by_member(self, trials: Tensor) -> Tensor:
        """Return ``[T, J * B, N]`` as ``[T, J, B, N]``."""
        return trials.reshape(len(trials), self.size, -1, *trials.shape[2:])

    def _call(self, tensors: Mapping[str, Tensor], method: str, *args: Any, **options: Any) -> Any:
        """Call a member's method with these parameters and buffers."""
        named = {f"network.{name}": tensor for name, tensor in tensors.items()}
        return functional_call(_Method(self._code[0], method), named, args, options)


class DiscriminatorEnsemble(nn.Module):
    """J discriminators of one structure, each of which receives its share of the batch.

    Its parameters have the members' names, and the members as first axis: ``[J, ...]``. Beside an
    `Ensemble` of as many generators it makes J pairs, which `SpikeGAN` trains at once.

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
        super().__init__()
        self.size = len(discriminators)
        self.members = _stacked(discriminators)
        first = discriminators[0]
        classes = getattr(first, "classes", None)
        if type(classes) is not int or isinstance(first, IntervalDiscriminator):
            raise InputError(
                "discriminators",
                expected="networks of decoded trials with an attribute classes, as MLPDiscriminator",
                got=type(first).__name__,
            )
        self._code = (copy.deepcopy(first),)
        self.classes = classes

    def forward(self, decoded: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits ``[J * B]``.

        Args:
            decoded: Decoded trials ``[J * B, ...]``.
            labels: Whole numbers ``[J * B]``; None for trials without labels.

        Raises:
            InputError: If the batch cannot be split evenly, a label is out of range, or there are none
                for several classes.
        """
        share = _share(len(decoded), self.size)
        labels = known_labels(labels, self.classes, len(decoded))  # vmap cannot read values

        def discriminate(tensors: dict[str, Tensor], decoded: Tensor, labels: Tensor | None) -> Tensor:
            logits: Tensor = functional_call(self._code[0], tensors, (decoded, labels))
            return logits

        buffers = dict(self.members.named_buffers())
        tensors = buffers | dict(self.members.named_parameters())
        split = None if labels is None else labels.reshape(self.size, share)
        in_dims = (_axes(self.members), 0, None if split is None else 0)
        logits: Tensor = vmap(discriminate, in_dims=in_dims)(
            tensors, decoded.reshape(self.size, share, *decoded.shape[1:]), split
        )
        return logits.flatten()


def _share(batch: int, size: int) -> int:
    if batch < size or batch % size:
        raise InputError("batch", expected=f"a multiple of the {size} members", got=f"{batch}")
    return batch // size


def _stacked(networks: Sequence[N]) -> N:
    """Return a copy of the first network, with the parameters of all ``[J, ...]``."""
    if not networks:
        raise InputError("members", expected="at least one", got="none")
    for other in networks[1:]:
        _check_alike(networks[0], other)
    members = copy.deepcopy(networks[0])
    for name, _ in list(members.named_parameters()):
        _replace(members, name, torch.stack([n.get_parameter(name).detach() for n in networks]))
    return members


def _tensors(members: nn.Module) -> dict[str, Tensor]:
    buffers = dict(members.named_buffers())
    return buffers | {name: p.detach() for name, p in members.named_parameters()}


def _axes(members: nn.Module) -> dict[str, int | None]:
    """Return the members' axis in each tensor; buffers are the same for all."""
    buffers: dict[str, int | None] = {name: None for name, _ in members.named_buffers()}
    return buffers | {name: 0 for name, _ in members.named_parameters()}


def _replace(module: nn.Module, name: str, values: Tensor) -> None:
    """Replace the parameter of this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(values))


def _check_alike(first: nn.Module, other: nn.Module) -> None:
    """Check that two networks differ in their parameters' values only."""
    shapes = [{name: (p.shape, p.dtype) for name, p in g.named_parameters()} for g in (first, other)]
    fixed = [_fixed(g) for g in (first, other)]
    differing = sorted(
        name
        for name in fixed[0].keys() | fixed[1].keys()
        if not _equal(fixed[0].get(name), fixed[1].get(name))
    )
    if shapes[0] != shapes[1] or differing:
        raise InputError(
            "members",
            expected="parameters of the same names and shapes, and the same settings",
            got=f"others of {', '.join(differing) or 'their parameters'}",
        )


def _fixed(module: nn.Module) -> dict[str, Any]:
    """Return buffers and delays, and the plain settings of all submodules."""
    parameters = dict(module.named_parameters())
    tensors = {name: x for name, x in module.state_dict().items() if name not in parameters}
    return tensors | {
        f"{place}.{name}": value
        for place, part in module.named_modules()
        for name, value in vars(part).items()
        if isinstance(value, int | float | str | tuple) and name != "training"
    }


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return type(a) is type(b) and bool(a == b)


class _Method(nn.Module):
    """A method as a module's ``forward``, which is all that `functional_call` calls."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *args: Any, **options: Any) -> Any:
        return getattr(self.network, self.method)(*args, **options)


def _one_batch(members: Tensor) -> Tensor:
    """Return ``[J, T, B, N]`` as ``[T, J * B, N]``."""
    return members.movedim(0, 1).flatten(1, 2)
