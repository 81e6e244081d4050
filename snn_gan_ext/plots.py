"""Pictures of data: tensors in, matplotlib figures out.

Figures follow matplotlib's defaults, whatever the user's ``matplotlibrc`` says. Titles are plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext.metrics import populations as population_statistics
from snn_gan_ext.metrics import spike_trains
from snn_gan_ext.validation import plain, plain_floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "event_frames",
    "histogram",
    "learning_curves",
    "lines",
    "pca_panels",
    "pca_scatter",
    "populations",
    "raster",
    "raster_grid",
    "sample_grid",
    "save",
    "spike_comparison",
    "time_surfaces",
    "train_statistics",
]

REAL, SYNTHETIC, NEUTRAL = "#1f2933", "#d1495b", "#7b8794"


def save(figure: Figure, path: Path) -> None:
    """Write a figure at 110 dots an inch to a file, whose suffix names the format."""
    with _defaults():
        figure.savefig(path, dpi=110)


def _defaults() -> AbstractContextManager[None]:
    """Return a context of matplotlib's default settings, except that $ has no meaning in texts."""
    import matplotlib.style

    return matplotlib.style.context(["default", {"text.parse_math": False}])


@contextmanager
def _panels(
    width: float, height: float, rows: int = 1, columns: int = 1, *, pad: float = 1.08, **shared: Any
) -> Iterator[tuple[Figure, Any]]:
    """Make a figure and its axes ``[rows, columns]``; fit the axes to the figure at the end."""
    from matplotlib.figure import Figure

    with _defaults():
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(rows, columns, squeeze=False, **shared)
        figure.tight_layout(pad=pad)


def sample_grid(
    rows: Mapping[str, tuple[Tensor, Tensor]], classes: int, side: int, per_class: int = 6
) -> Figure:
    """Draw samples by class: a column for each class, a block for each source.

    Args:
        rows: Images ``[B, side * side]`` and labels ``[B]`` by title.
        classes: Number of columns.
        side: Height and width of an image in pixels.
        per_class: Number of images of each class.
    """
    size = 0.62 * classes * len(rows) + 0.4, 0.62 * per_class + 0.5
    with _panels(*size, 1, len(rows)) as (figure, axes):
        for axis, (title, (images, labels)) in zip(axes[0], rows.items(), strict=True):
            tiled = _tile(images, labels, classes, side, per_class)
            axis.imshow(tiled, cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(title)
            axis.axis("off")
    return figure


def pca_scatter(
    real: np.ndarray, synthetic: np.ndarray, real_labels: Tensor, synthetic_labels: Tensor
) -> Figure:
    """Draw real and synthetic samples on the first two principal components of the real data.

    Args:
        real: Coordinates ``[B, 2]`` of real samples.
        synthetic: Coordinates ``[B', 2]`` of synthetic samples.
        real_labels: Labels ``[B]``.
        synthetic_labels: Labels ``[B']``.
    """
    with _panels(11, 3.8, 1, 3, sharex=True, sharey=True) as (figure, axes):
        axes[0, 0].scatter(*real.T, s=6, c=plain(real_labels), cmap="tab10")
        axes[0, 1].scatter(*synthetic.T, s=6, c=plain(synthetic_labels), cmap="tab10")
        axes[0, 2].scatter(*synthetic.T, s=5, c=SYNTHETIC, alpha=0.5, label="synthetic")
        axes[0, 2].scatter(*real.T, s=5, c=REAL, alpha=0.5, label="real")
        axes[0, 2].legend(loc="best", fontsize=8)
        for axis, title in zip(axes[0], ("real, by class", "synthetic, by class", "both"), strict=True):
            axis.set_title(title)
        _name_components(axes[0])
    return figure


def pca_panels(panels: Mapping[str, np.ndarray], labels: Tensor) -> Figure:
    """Draw sources on the same two principal components, one panel each, coloured by class.

    Args:
        panels: Coordinates ``[B, 2]`` by title; the first source is grey in the background of all.
        labels: Labels ``[B]`` of every source.
    """
    size = 3.3 * len(panels), 3.4
    with _panels(*size, 1, len(panels), sharex=True, sharey=True) as (figure, axes):
        behind = next(iter(panels.values()))
        for axis, (title, points) in zip(axes[0], panels.items(), strict=True):
            axis.scatter(*behind.T, s=9, c="#d8dee4")
            axis.scatter(*points.T, s=5, c=plain(labels), cmap="tab10")
            axis.set_title(title)
        _name_components(axes[0])
    return figure


def _name_components(axes: Sequence[Axes]) -> None:
    for axis in axes:
        axis.set_xlabel("component 1")
    axes[0].set_ylabel("component 2")


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str) -> Figure:
    """Draw curves in one panel, from points (x, y) by title."""
    with _panels(6.4, 4.2) as (figure, ((axis,),)):
        for title, points in curves.items():
            axis.plot(*zip(*points, strict=True), label=title, linewidth=1.3)
        axis.set(xlabel=x_label, ylabel=y_label)
        axis.legend(fontsize=8)
        axis.grid(color=NEUTRAL, alpha=0.2)
    return figure


def histogram(samples: Mapping[str, Tensor], end: float, x_label: str) -> Figure:
    """Draw histograms of numbers ``[B]`` by title on top of each other, from 0 to ``end``."""
    with _panels(6.4, 3.4) as (figure, ((axis,),)):
        for title, values in samples.items():
            axis.hist(plain_floats(values).numpy(), bins=64, range=(0, end), label=title, alpha=0.6)
        axis.set(xlabel=x_label, ylabel="trials")
        axis.legend(fontsize=8)
    return figure


def raster(trials: Mapping[str, Tensor], y_label: str = "read-out neuron") -> Figure:
    """Draw spikes ``[T, N]`` by title, a panel each, in as many rows as a readable width needs."""
    each = max(1.1, 0.045 * max(map(len, trials.values())))
    columns, items = min(len(trials), max(1, int(14 / each))), list(trials.items())
    rows = [(y_label, items[first : first + columns]) for first in range(0, len(items), columns)]
    height = 3.4 if len(rows) == 1 else 2.4 * len(rows)
    return _rasters(rows, each * columns + 0.8, height, fontsize=10, sharex=False)


def raster_grid(rows: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Draw spikes of one neuron over trials, a panel for each row and column.

    Args:
        rows: Spikes ``[T, B]`` by title of the column, by title of the row.
    """
    items = [(title, list(panels.items())) for title, panels in rows.items()]
    width, height = 2.1 * len(items[0][1]) + 0.6, 1.9 * len(rows) + 0.4
    return _rasters(items, width, height, fontsize=9, sharex=True)


def _rasters(
    rows: Sequence[tuple[str, Sequence[tuple[str, Tensor]]]],
    width: float,
    height: float,
    *,
    fontsize: int,
    sharex: bool,
) -> Figure:
    """Draw spikes ``[T, N]`` with titles in rows with labels."""
    shape = len(rows), len(rows[0][1])
    with _panels(width, height, *shape, sharex=sharex, sharey=True) as (figure, axes):
        for line, (label, panels) in zip(axes, rows, strict=True):
            line[0].set_ylabel(label)
            for axis, (title, spikes) in zip(line, panels, strict=False):
                _draw_raster(axis, spikes)
                axis.set_title(title, fontsize=fontsize)
            for axis in line[len(panels) :]:
                axis.remove()
        figure.supxlabel("time step", fontsize=9)
    return figure


def event_frames(sources: Mapping[str, Tensor]) -> Figure:
    """Draw event frames averaged over time, a row for each source, and one trial of each over time.

    Args:
        sources: Spikes ``[T, B, C, H, W]`` by title. Of two polarities one is red and one blue.
    """
    means = [(f"{title}, all steps", x.float().mean(0) ** 0.5) for title, x in sources.items()]
    steps = [(f"{title}, step by step", x[:, len(means[0][1]) // 2]) for title, x in sources.items()]
    return _pictures([*means, *steps], 1.2)


def time_surfaces(sources: Mapping[str, Tensor]) -> Figure:
    """Draw decaying traces of pixels at the end of trials, a row for each source.

    Args:
        sources: Surfaces ``[B, C, H, W]`` in [0, 1] by title, in the colours of `event_frames`.
    """
    return _pictures(list(sources.items()), 1.3)


def _pictures(rows: Sequence[tuple[str, Tensor]], height: float) -> Figure:
    """Draw frames ``[columns, C, H, W]`` in [0, 1] in rows with titles."""
    columns = max(len(frames) for _, frames in rows)
    with _panels(1.1 * columns, height * len(rows), len(rows), columns, pad=0.3) as (figure, axes):
        for axis in axes.flat:
            axis.axis("off")
        for line, (title, frames) in zip(axes, rows, strict=True):
            line[0].set_title(title, fontsize=8, loc="left")
            for axis, frame in zip(line, frames, strict=False):
                axis.imshow(_polarities(frame))
    return figure


def _polarities(frame: Tensor) -> np.ndarray:
    """Return a frame ``[C, H, W]`` in [0, 1] as an RGB picture on white."""
    picture = np.ones((*frame.shape[1:], 3), dtype=np.float32)
    for values, hidden in zip(plain_floats(frame).numpy(), ([1, 2], [0, 1]), strict=False):
        picture[..., hidden] -= values[..., None]
    return picture.clip(0, 1)


def train_statistics(sources: Mapping[str, Tensor], dt: float) -> Figure:
    """Draw inter-spike intervals and autocorrelograms of single neurons into the same two panels.

    Args:
        sources: Spikes ``[T, B]`` by title.
        dt: Length of a time step in seconds.
    """
    with _panels(10, 3.6, 1, 2) as (figure, axes):
        for title, trains in sources.items():
            _draw_statistics(axes[0], trains, dt, label=title)
    return figure


def spike_comparison(sources: Mapping[str, Tensor], dt: float, title: str = "") -> Figure:
    """Draw rasters, inter-spike intervals and autocorrelograms of two sources side by side.

    Args:
        sources: Spikes ``[T, B, N]`` by title. The raster shows the first trial of several neurons, or
            the first 20 trials of a single one.
        dt: Length of a time step in seconds.
        title: Title of the figure.
    """
    with _panels(13, 3.2, 1, 4) as (figure, axes):
        if title:
            figure.suptitle(title)
        colours = (REAL, SYNTHETIC)
        for axis, (title, spikes), colour in zip(axes[0], sources.items(), colours, strict=False):
            one_neuron = spikes.shape[2] == 1
            _draw_raster(axis, spikes[:, :20, 0] if one_neuron else spikes[:, 0])
            axis.set(title=title, xlabel="time step", ylabel="trial" if one_neuron else "neuron")
            _draw_statistics(axes[0, 2:], spikes.flatten(1), dt, color=colour, label=title)
    return figure


def populations(sources: Mapping[str, Tensor], dt: float) -> Figure:
    """Draw correlations of pairs, population counts, intervals and cross-correlograms of two sets.

    Args:
        sources: Spikes ``[T, B, N]`` by title, the real ones first.
        dt: Length of a time step in seconds.
    """
    real, *_ = found = [population_statistics.covariances(x, min(6, len(x))) for x in sources.values()]
    pairs = ~torch.eye(real.shape[1], dtype=torch.bool)
    with _panels(15, 3.6, 1, 4) as (figure, axes):
        scatter, counts, intervals, lagged = axes[0]
        for title, covariances in list(zip(sources, found, strict=True))[1:]:
            scatter.plot(real[0][pairs], covariances[0][pairs], ".", markersize=2, label=title)
        ends = [float(real[0][pairs].min()), float(real[0][pairs].max())] if pairs.any() else [0, 1]
        scatter.plot(ends, ends, "k-", linewidth=0.8)
        scatter.set(title="covariances at lag 0", xlabel="real", ylabel="other")
        for (title, spikes), covariances in zip(sources.items(), found, strict=True):
            each = torch.bincount(spikes.sum(2).flatten().long(), minlength=spikes.shape[2] + 1)
            counts.semilogy(each / each.sum(), ".-", label=title)
            bins = (np.arange(len(spikes) + 1) - 0.5).tolist()
            step = spike_trains.interspike_intervals(spikes.flatten(1))
            intervals.hist(step.numpy(), bins, density=True, histtype="step", label=title)
            mean = covariances[:, pairs].mean(1) if pairs.any() else torch.zeros(len(covariances))
            lagged.plot(1e3 * dt * np.arange(len(mean)), mean, ".-", label=title)
        counts.yaxis.set_major_formatter("{x:g}")
        scatter.locator_params(nbins=4)
        counts.set(title="population count", xlabel="units that spike in a bin", ylabel="share of bins")
        intervals.set(title="inter-spike intervals", xlabel="bins", ylabel="density")
        lagged.set(title="mean covariance of pairs", xlabel="lag, ms")
        for axis in axes[0]:
            axis.legend(fontsize=8)
    return figure


def _draw_statistics(axes: Sequence[Axes], trains: Tensor, dt: float, **options: Any) -> None:
    """Draw the histogram of intervals and the autocorrelogram of trains ``[T, B]``."""
    trains = plain_floats(trains)
    intervals = spike_trains.interspike_intervals(trains)
    bins = np.arange(len(trains) + 1) - 0.5
    axes[0].hist(1e3 * dt * intervals.numpy(), (1e3 * dt * bins).tolist(), histtype="step", **options)
    lags = min(len(trains), 51)
    lag = np.arange(1, lags)
    # Per step that has a partner a lag later; per step of the trial it would fall with the lag.
    coincidences = spike_trains.autocorrelation(trains, lags).mean(0).numpy()[1:]
    axes[1].plot(1e3 * dt * lag, coincidences * len(trains) / (len(trains) - lag), **options)
    axes[0].set(title="inter-spike intervals", xlabel="ms", ylabel="count")
    axes[1].set(title="autocorrelogram", xlabel="lag, ms", ylabel="coincidences a step")
    for axis in axes:
        axis.legend(fontsize=8)


def _draw_raster(axis: Axes, spikes: Tensor) -> None:
    steps, neurons = plain(spikes).nonzero().T.numpy()
    axis.scatter(steps, neurons, marker="|", s=14, c=REAL, linewidths=1)
    axis.set(xlim=(-0.5, len(spikes) - 0.5), xticks=[0, len(spikes) - 1])


def learning_curves(
    lines: Sequence[Mapping[str, float]], panels: Mapping[str, tuple[str, ...]]
) -> Figure:
    """Draw metrics over updates.

    Args:
        lines: Lines of the metrics log, each with its ``update``.
        panels: Names of metrics by title of the panel; absent metrics are left out.
    """
    columns = max(1, len(panels))
    with _panels(3.8 * columns, 3.2, 1, columns) as (figure, axes):
        for axis, (title, names) in zip(axes[0], panels.items(), strict=False):
            for name in names:
                points = [(line["update"], line[name]) for line in lines if name in line]
                if points:
                    style, label = "." if len(points) == 1 else "-", name.replace("_", " ")
                    axis.plot(*zip(*points, strict=True), style, label=label, linewidth=1)
            axis.set(title=title, xlabel="update")
            if axis.lines:
                axis.legend(fontsize=8)
            axis.grid(color=NEUTRAL, alpha=0.2)
    return figure


def _tile(images: Tensor, labels: Tensor, classes: int, side: int, per_class: int) -> np.ndarray:
    """Return images as one picture, a column for each class, with a blank pixel between them."""
    images, labels, step = plain_floats(images), plain(labels), side + 1
    canvas = np.zeros((per_class * step, classes * step), dtype=np.float32)
    for label in range(classes):
        for row, image in enumerate(images[labels == label][:per_class]):
            top, left = row * step, label * step
            canvas[top : top + side, left : left + side] = image.reshape(side, side).numpy()
    return canvas
