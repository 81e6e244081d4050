"""Discriminators: ordinary neural networks that separate real trials from generated ones."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional.bases import raised_cosines
from snn_gan_ext.networks.labels import one_hot
from snn_gan_ext.validation import (
    Rule,
    at_least,
    between,
    check_device,
    check_positive,
    check_setting,
    check_shapes,
    check_spikes,
    whole,
)

__all__ = [
    "IntervalDiscriminator",
    "MLPDiscriminator",
    "PrefixDiscriminator",
    "PrefixState",
    "TemporalDiscriminator",
    "TrialDiscriminator",
]

FACTOR = Rule("a finite number", lambda x: type(x) in (int, float) and math.isfinite(x))


class TrialDiscriminator(nn.Module, ABC):
    """Base class of discriminators.

    Attributes:
        classes: Number of labels; 0 for trials without labels.
    """

    classes: int = 0

    @abstractmethod
    def forward(self, trials: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits ``[B]``.

        Args:
            trials: Trials, in the form that the class describes.
            labels: Whole numbers ``[B]``. With 0 classes they are ignored, with 1 they may be None.

        Raises:
            InputError: If trials have another form, a label is out of range, or there are none for
                several classes.
        """


class MLPDiscriminator(TrialDiscriminator):
    """The SpikeGAN paper's feed-forward discriminator (section VII-A), for decoded trials ``[B, N]``.

    It receives the one-hot label as well. Its hidden layers have leaky ReLU, where the paper has ReLU.

    Args:
        features: Size ``N`` of a decoded trial.
        classes: Number of labels; 0 for trials without labels.
        hidden: Width of each hidden layer; the paper has one of 128.
        label_scale: Factor on the one-hot label.
        projection: Whether to add the product of the last hidden layer with a vector of the label.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, ``classes`` is negative, ``label_scale`` is not finite, or
            there is a projection without labels.

    References:
        Miyato and Koyama (2018), "cGANs with projection discriminator".
    """

    def __init__(
        self,
        features: int,
        classes: int = 0,
        *,
        hidden: Sequence[int] = (128,),
        label_scale: float = 1.0,
        projection: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        widths = {f"hidden[{place}]": width for place, width in enumerate(hidden)}
        _check_sizes(classes, label_scale, features=features, **widths)
        if projection and not classes:
            raise InputError("projection", expected="classes of at least 1", got=f"{classes}")
        self.features, self.classes, self.label_scale = features, classes, label_scale
        self.layers = _perceptron(features + classes, *hidden, 1)
        last = (features + classes, *hidden)[-1]
        self.projection = nn.Linear(classes, last, bias=False) if projection else None
        _reset_parameters(self, rng)

    def forward(self, decoded: Tensor, labels: Tensor | None = None) -> Tensor:
        cure = "give SpikeGAN a decode= that returns them; see snn_gan_ext.coding.decoders"
        check_shapes(cure, **{"decoded trials": (decoded, ("B", self.features))})
        check_device("decoded trials", decoded, next(self.parameters()).device)
        label = one_hot(labels, self.classes, len(decoded)).to(decoded)
        features = self.layers[:-1](torch.cat([decoded, self.label_scale * label], -1))
        logits: Tensor = self.layers[-1](features)
        if self.projection is not None:
            logits = logits + (self.projection(label) * features).sum(-1, keepdim=True)
        return logits.squeeze(-1)


class TemporalDiscriminator(TrialDiscriminator):
    """Convolutions over time, flattened into a linear unit (SpikeGAN paper, sections VII-A and VIII-B).

    It receives the spikes ``[T, B, N]`` themselves, with their timing. The label comes as channels that
    are on at every step. Leaky ReLU follows each convolution. Kernel k and stride s cover all T steps
    if T - k is a multiple of s; otherwise the last steps are ignored.

    Args:
        features: Number of read-out neurons ``N``.
        classes: Number of labels; 0 for trials without labels.
        num_steps: Number of time steps ``T`` of a trial.
        layers: Channels, kernel and stride of each convolution; by default the paper's c128k4s2-c1k4s1.
        label_scale: Factor on the label channels.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or a trial is too short for the convolutions.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        num_steps: int,
        *,
        layers: Sequence[tuple[int, int, int]] = ((128, 4, 2), (1, 4, 1)),
        label_scale: float = 1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {f"layers[{place}]": min(layer) for place, layer in enumerate(layers)}
        sizes["number of layers"] = len(layers)
        _check_sizes(classes, label_scale, features=features, num_steps=num_steps, **sizes)
        self.features, self.classes, self.num_steps = features, classes, num_steps
        self.label_scale = label_scale
        convolutions: list[nn.Module] = []
        channels, length = features + classes, num_steps
        for out_channels, kernel, stride in layers:
            if length < kernel:
                expected = f"kernels that fit into {num_steps} steps"
                raise InputError("layers", expected=expected, got=f"{list(layers)}")
            convolutions += [nn.Conv1d(channels, out_channels, kernel, stride), nn.LeakyReLU(0.2)]
            channels, length = out_channels, (length - kernel) // stride + 1
        self.layers = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(channels * length, 1))
        _reset_parameters(self, rng)

    def forward(self, spikes: Tensor, labels: Tensor | None = None) -> Tensor:
        check_shapes(spikes=(spikes, (self.num_steps, "B", self.features)))
        check_device("spikes", spikes, next(self.parameters()).device)
        if self.classes:
            label = self.label_scale * one_hot(labels, self.classes, spikes.shape[1]).to(spikes)
            spikes = torch.cat([spikes, label.expand(len(spikes), -1, -1)], -1)
        logits: Tensor = self.layers(spikes.permute(1, 2, 0))
        return logits.squeeze(-1)


class IntervalDiscriminator(TrialDiscriminator):
    r"""A discriminator of intervals between spikes ``[T, B, N]`` of 0 and 1, wherever they occur.

    It suits trials that begin at any time, such as recordings of ongoing activity. A network
    :math:`\varphi` receives two intervals of each spike k: :math:`\tau_k` since the spike before, and
    the one before that, both as raised cosines of their logarithm. The silence at the end of a train
    counts as one more interval. A second network receives the sum over the n spikes of each neuron, and
    their mean:

    .. math:: \mathrm{logit} = \rho\Bigl(\tfrac1c S, \tfrac1n S\Bigr),
        \qquad S = \sum_k s_k\, \varphi(\tau_k, \tau_{k-1}).

    Neurons share :math:`\varphi`. Labels are ignored. Intervals have no slope: the slope at a spike
    :math:`s_k` is the effect of this spike, and 0 elsewhere. Use it with REINFORCE, which needs none.

    Args:
        features: Number of read-out neurons ``N``.
        num_steps: Number of time steps ``T`` of a trial.
        bumps: Number of raised cosines for each interval.
        hidden: Width of the hidden layers.
        channels: Number of outputs of :math:`\varphi`.
        scale: Typical number ``c`` of spikes of a neuron in a trial.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is no whole number of at least 1, or ``scale`` is below 1e-6.

    References:
        Zaheer et al. (2017), "Deep sets".
    """

    bumps: Tensor
    scale: Tensor

    def __init__(
        self,
        features: int,
        num_steps: int,
        *,
        bumps: int = 12,
        hidden: int = 64,
        channels: int = 32,
        scale: float = 1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(features=features, num_steps=num_steps, bumps=bumps)
        check_positive(hidden=hidden, channels=channels)
        check_setting("scale", scale, at_least(1e-6))
        self.features, self.num_steps = features, num_steps
        self.register_buffer("scale", torch.tensor(float(scale)))
        # A window of twice the trial keeps all intervals off the end of the last cosine.
        basis = raised_cosines(bumps, 2 * (num_steps + 1))[:, : num_steps + 1]
        self.register_buffer("bumps", basis.T.contiguous(), persistent=False)
        self.spike = nn.Sequential(*_perceptron(4 * bumps, hidden, channels), nn.LeakyReLU(0.2))
        self.head = _perceptron(2 * features * channels, hidden, 1)
        _reset_parameters(self, rng)

    def forward(self, spikes: Tensor, labels: Tensor | None = None) -> Tensor:
        # Longer trials would pass without an error, and wrongly.
        check_shapes(spikes=(spikes, (self.num_steps, "trials", self.features)))
        check_device("spikes", spikes, self.bumps.device)
        check_spikes("spikes", spikes)
        steps, batch, _ = spikes.shape
        trains = spikes.permute(1, 2, 0).flatten(0, 1).to(self.bumps)
        # One more spike at the end of each train turns the last silence into an interval.
        closed = torch.cat([trains, torch.ones_like(trains[:, :1])], 1)
        train, step = closed.nonzero().unbind(1)
        terms = self.spike(self._intervals(train, step, steps)) * closed[train, step].unsqueeze(1)
        summed = terms.new_zeros(len(trains), terms.shape[1]).index_add(0, train, terms)
        mean = summed / train.bincount().unsqueeze(1)
        logits: Tensor = self.head(torch.cat([summed / self.scale, mean], 1).reshape(batch, -1))
        return logits.squeeze(-1)

    def _intervals(self, train: Tensor, step: Tensor, num_steps: int) -> Tensor:
        """Return the features of each spike ``[n, 4 * bumps]``, in the order of trains and steps."""
        first = train != torch.cat([train[:1] - 1, train[:-1]])
        since = torch.where(first, step + 1, step - torch.cat([step[:1], step[:-1]]))
        latest = self.bumps[since - 1]
        before = torch.cat([torch.zeros_like(latest[:1]), latest[:-1]])
        end = step == num_steps
        known = ((latest, ~first & ~end), (latest, first & ~end), (latest, end), (before, ~first))
        return torch.cat([interval * applies.unsqueeze(1) for interval, applies in known], 1)


class PrefixState(NamedTuple):
    """Memory of a `PrefixDiscriminator` between steps: traces ``[B, K * N]``, and steps so far."""

    traces: Tensor
    steps: int = 0


class PrefixDiscriminator(TrialDiscriminator):
    r"""A discriminator that judges spikes ``[T, B, N]`` while they come: a logit for each prefix.

    A perceptron receives traces of all neurons, the label y and the time, at step t of T:

    .. math:: D_t = \mathrm{MLP}(z_t, y, t / T), \qquad
        z_{k,t} = d_k z_{k,t-1} + \frac{x_t}{\sum_{j<T} d_k^j}.

    Traces lie in 0 .. 1. A decay of 0 shows the step itself, 1 the number of spikes so far. Leaky ReLU
    follows each hidden layer.

    Args:
        features: Number of read-out neurons ``N``.
        classes: Number of labels; 0 for trials without labels.
        num_steps: Number of time steps ``T`` of a trial.
        decays: Decay :math:`d_k` of each of the ``K`` traces, in 0 .. 1.
        hidden: Width of each hidden layer.
        label_scale: Factor on the one-hot label.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is below 1, or a decay is out of its range.
    """

    decays: Tensor
    gains: Tensor

    def __init__(
        self,
        features: int,
        classes: int,
        num_steps: int,
        *,
        decays: Sequence[float] = (0.0, 0.6, 1.0),
        hidden: Sequence[int] = (256, 256),
        label_scale: float = 1.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {f"hidden[{place}]": width for place, width in enumerate(hidden)}
        sizes["number of decays"] = len(decays)
        _check_sizes(classes, label_scale, features=features, num_steps=num_steps, **sizes)
        for place, decay in enumerate(decays):
            check_setting(f"decays[{place}]", decay, between(0, 1))
        self.features, self.classes, self.num_steps = features, classes, num_steps
        self.label_scale = label_scale
        each = torch.tensor([float(decay) for decay in decays]).repeat_interleave(features)
        self.register_buffer("decays", each, persistent=False)
        powers = each ** torch.arange(num_steps).unsqueeze(1)
        self.register_buffer("gains", 1 / powers.sum(0), persistent=False)
        self.layers = _perceptron(len(decays) * features + classes + 1, *hidden, 1)
        _reset_parameters(self, rng)

    def forward(self, spikes: Tensor, labels: Tensor | None = None) -> Tensor:
        traces = self.traces(spikes)[-1]
        return self.judge(traces, torch.full_like(traces[:, 0], self.num_steps), labels)

    def prefixes(self, spikes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logit of each prefix ``[T, B]``; see `forward`."""
        traces, (steps, batch) = self.traces(spikes), spikes.shape[:2]
        ends = torch.arange(1, steps + 1).repeat_interleave(batch)
        labels = None if labels is None else labels.repeat(steps)
        return self.judge(traces.flatten(0, 1), ends, labels).reshape(steps, batch)

    def traces(self, spikes: Tensor) -> Tensor:
        """Return the traces ``[T, B, K * N]`` of spikes ``[T, B, N]``."""
        check_shapes(spikes=(spikes, (self.num_steps, "B", self.features)))
        check_device("spikes", spikes, self.decays.device)
        now, found = self._silence(spikes.shape[1]), []
        for step in spikes:
            now = self._followed(now, step)
            found.append(now)
        return torch.stack(found)

    def judge(self, traces: Tensor, ends: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits ``[B]`` of prefixes.

        Args:
            traces: Traces at the last step of each prefix ``[B, K * N]``.
            ends: Length of each prefix in steps ``[B]``.
            labels: Labels ``[B]``; see `forward`.
        """
        label = self.label_scale * one_hot(labels, self.classes, len(traces)).to(traces)
        time = (ends.to(traces) / self.num_steps).unsqueeze(1)
        logits: Tensor = self.layers(torch.cat([traces, label, time], 1))
        return logits.squeeze(1)

    def step(
        self, spikes: Tensor, state: PrefixState | None = None, labels: Tensor | None = None
    ) -> tuple[Tensor, PrefixState]:
        """Return the logits ``[B]`` after one more step, and the state for the next.

        Args:
            spikes: Spikes of the step ``[B, N]``.
            state: State after the step before; silence by default.
            labels: Labels ``[B]``; see `forward`.
        """
        check_shapes(spikes=(spikes, ("B", self.features)))
        state = PrefixState(self._silence(len(spikes))) if state is None else state
        state = PrefixState(self._followed(state.traces, spikes), state.steps + 1)
        ends = torch.full_like(state.traces[:, 0], state.steps)
        return self.judge(state.traces, ends, labels), state

    def _silence(self, batch: int) -> Tensor:
        return self.gains.new_zeros(batch, len(self.gains))

    def _followed(self, traces: Tensor, spikes: Tensor) -> Tensor:
        """Return traces after one more step."""
        return self.decays * traces + self.gains * spikes.repeat(1, len(self.gains) // self.features)


def _check_sizes(classes: int, label_scale: float, **sizes: int) -> None:
    check_setting("classes", classes, whole(0))
    check_setting("label_scale", label_scale, FACTOR)
    check_positive(**sizes)


def _perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers with leaky ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def _reset_parameters(module: nn.Module, rng: torch.Generator | None) -> None:
    """Draw weights from PyTorch's own initial law, with a given random source."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d):
            bound = layer.weight[0].numel() ** -0.5
            layer.weight.uniform_(-bound, bound, generator=rng)
            if layer.bias is not None:
                layer.bias.uniform_(-bound, bound, generator=rng)
