"""Copies of a generator side by side, as a leading axis of the same tensors."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.layers.checks import check_finite
from snn_gan_ext.layers.state import GLMSample
from snn_gan_ext.networks.labels import one_hot

__all__ = ["DiscriminatorEnsemble", "Ensemble", "EnsembleSample", "MemberRun"]


class MemberRun(NamedTuple):
    """What a layer of all members did, their trials one after another along the batch axis.

    Attributes:
        spikes: ``[T, J * B, N]``.
        potentials: ``[T, J * B, N]``.
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
        spikes: the read-out neurons' spikes ``[T, J * B, N]``.
        runs: what each layer did.
        members: the same as each member's layers keep it, ``[J, ...]``, for the learning rule.
        windows: how far each layer looks back.
    """

    spikes: Tensor
    runs: dict[str, MemberRun]
    members: dict[str, GLMSample]
    windows: dict[str, tuple[int, int]]


class Ensemble(nn.Module):
    """J generators of one structure that are sampled and taught at once, by one set of tensors.

    Its parameters have the members' names, with the members in front: ``[J, ...]``. It is a generator
    itself, whose batch is split among the members in equal parts, so that `SpikeGAN` can train it as it
    is, and `BayesSpikeGAN` by what its members have to do with each other.

    Args:
        generators: the members, which differ in their parameters alone.

    Raises:
        InputError: if there is none, or they differ in something else than their parameters' values.
    """

    def __init__(self, generators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.size = len(generators)
        self.members = _stacked(generators)
        # Kept out of the submodules: it lends its code, and its parameters are never used.
        self._code = (copy.deepcopy(generators[0]),)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Noise ``[J, ...]`` of all members for a batch of all together.

        Raises:
            InputError: if the batch cannot be split evenly.
        """
        each = self._share(batch)
        members: Any = self.members
        drawn = [members.noise(each, rng) for _ in range(self.size)]
        return {name: torch.stack([noise[name] for noise in drawn]) for name in drawn[0]}

    @torch.no_grad()
    def sample(self, labels: Tensor, noise: Mapping[str, Tensor]) -> EnsembleSample:
        """Draws a trial for each label, the first share of them from the first member, and so on.

        Args:
            labels: ``[J * B]``.
            noise: from `noise`.

        Raises:
            InputError: if the batch cannot be split evenly, a label or the noise has no meaning, or a
                potential is not finite.
        """
        # Values cannot be looked at inside vmap: what goes in and comes out is checked around it.
        classes = getattr(self.members, "classes", None)
        if classes is not None:
            one_hot(labels, classes)
        for name, values in noise.items():
            if values.numel() and not 0 <= values.min() <= values.max() <= 1:  # no NaN passes this
                raise InputError(
                    f"noise of {name!r}", expected="values in [0, 1)", got="others, or NaN"
                )
        windows: dict[str, tuple[int, int]] = {}

        def draw(
            tensors: dict[str, Tensor], labels: Tensor, noise: dict[str, Tensor]
        ) -> dict[str, GLMSample]:
            runs: Mapping[str, GLMSample] = self._call(tensors, "sample", labels, noise).runs
            windows.update({name: run.windows for name, run in runs.items()})
            # vmap hands back tensors alone.
            return {name: run._replace(windows=()) for name, run in runs.items()}  # type: ignore[arg-type]

        split = labels.reshape(self.size, self._share(len(labels)))
        in_dims = (_axes(self.members), 0, 0)
        members = vmap(draw, in_dims=in_dims)(_tensors(self.members), split, dict(noise))
        runs = {
            name: MemberRun(_one_batch(run.spikes), _one_batch(run.potentials))
            for name, run in members.items()
        }
        for run in runs.values():
            check_finite("membrane potential", run.potentials)
        return EnsembleSample(runs["readout"].spikes, runs, members, windows)

    @torch.no_grad()
    def gradients(
        self, sample: EnsembleSample, errors: Mapping[str, Tensor], *, per_sample: bool = False
    ) -> dict[str, Tensor]:
        """Closed-form gradients by parameter name.

        Args:
            sample: from `sample`.
            errors: ``[T, J * B, N]`` at each layer.
            per_sample: keep the batch axis, behind the members'.

        Returns:
            ``[J, ...]`` each, summed over a member's share of the batch.
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

    def forward(self, labels: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Draws spikes ``[T, B, N]`` for labels ``[B]``, each from a member drawn at random."""
        return self.draw(labels, rng)[0]

    def draw(self, labels: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The same, with the index of the member that each trial is from ``[B]``."""
        device = next(self.parameters()).device
        chosen = torch.randint(self.size, labels.shape, generator=rng, device=device)
        everyone = labels.repeat(self.size)
        spikes = self.sample(everyone, self.noise(len(everyone), rng)).spikes
        trials = torch.arange(len(labels), device=device)
        return self._by_member(spikes)[:, chosen, trials], chosen

    def _by_member(self, trials: Tensor) -> Tensor:
        """``[T, J * B, N]`` to ``[T, J, B, N]``."""
        return trials.reshape(len(trials), self.size, -1, *trials.shape[2:])

    def member(self, place: int) -> nn.Module:
        """A copy of one member as a generator of its own."""
        if not 0 <= place < self.size:
            raise InputError("member", expected=f"0 .. {self.size - 1}", got=f"{place}")
        alone = copy.deepcopy(self.members)
        for name, parameter in self.members.named_parameters():
            _replace(alone, name, parameter.detach()[place].clone())
        return alone

    def _share(self, batch: int) -> int:
        return _share(batch, self.size)

    def _call(self, tensors: Mapping[str, Tensor], method: str, *args: Any, **options: Any) -> Any:
        """Calls a member's method with these parameters and buffers."""
        named = {f"network.{name}": tensor for name, tensor in tensors.items()}
        return functional_call(_Method(self._code[0], method), named, args, options)


class DiscriminatorEnsemble(nn.Module):
    """J discriminators of one structure side by side, each of which judges its share of the batch.

    Its parameters have the members' names, with the members in front: ``[J, ...]``. Beside a
    `Ensemble` of as many generators it makes J pairs, which `SpikeGAN` trains at once, each on its
    own share.

    Args:
        discriminators: the members, which differ in their parameters alone. They have ``classes``, and
            code that ``torch.vmap`` can run, which `TTFSLinear` and `IntervalDiscriminator` do not.

    Raises:
        InputError: if there is none, they have no ``classes``, or differ in something else than their
            parameters' values.
    """

    def __init__(self, discriminators: Sequence[nn.Module]) -> None:
        super().__init__()
        self.size = len(discriminators)
        self.members = _stacked(discriminators)
        self._code = (copy.deepcopy(discriminators[0]),)
        classes: Any = getattr(discriminators[0], "classes", None)
        if classes is None:
            raise InputError(
                "discriminators",
                expected="such as judge trials with labels, as MLPDiscriminator",
                got=type(discriminators[0]).__name__,
            )
        self.classes = int(classes)

    def forward(self, decoded: Tensor, labels: Tensor) -> Tensor:
        """Logits ``[J * B]`` for decoded trials ``[J * B, ...]`` and labels ``[J * B]``.

        Raises:
            InputError: if the batch cannot be split evenly, or a label has no meaning.
        """
        share = _share(len(labels), self.size)
        one_hot(labels, self.classes)  # vmap cannot look at values

        def judge(tensors: dict[str, Tensor], decoded: Tensor, labels: Tensor) -> Tensor:
            logits: Tensor = functional_call(self._code[0], tensors, (decoded, labels))
            return logits

        buffers = dict(self.members.named_buffers())
        tensors = buffers | dict(self.members.named_parameters())
        logits: Tensor = vmap(judge, in_dims=(_axes(self.members), 0, 0))(
            tensors,
            decoded.reshape(self.size, share, *decoded.shape[1:]),
            labels.reshape(self.size, share),
        )
        return logits.flatten()


def _share(batch: int, size: int) -> int:
    if batch < size or batch % size:
        raise InputError("batch", expected=f"a multiple of the {size} members", got=f"{batch}")
    return batch // size


def _stacked(networks: Sequence[nn.Module]) -> nn.Module:
    """A copy of the first, with the parameters of all ``[J, ...]``."""
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
    """Which axis of each tensor the members are along; buffers are the same for all."""
    buffers: dict[str, int | None] = {name: None for name, _ in members.named_buffers()}
    return buffers | {name: 0 for name, _ in members.named_parameters()}


def _replace(module: nn.Module, name: str, values: Tensor) -> None:
    """Gives a module another tensor as the parameter of this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(values))


def _check_alike(first: nn.Module, other: nn.Module) -> None:
    """Members may differ in the values of their parameters, and in nothing else."""
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
    """Buffers and delays, and the plain settings of all submodules."""
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
    """Another module's method as a forward pass, which is all that `functional_call` calls."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *args: Any, **options: Any) -> Any:
        return getattr(self.network, self.method)(*args, **options)


def _one_batch(members: Tensor) -> Tensor:
    """``[J, T, B, N]`` to ``[T, J * B, N]``."""
    return members.movedim(0, 1).flatten(1, 2)
