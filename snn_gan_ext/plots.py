"""Pictures of data: tensors in, matplotlib figures out.

Figures follow matplotlib's defaults, whatever the user's ``matplotlibrc`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from torch import Tensor

from snn_gan_ext.metrics import spike_trains

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
    "raster",
    "raster_grid",
    "sample_grid",
    "save",
    "spike_comparison",
    "time_surfaces",
    "train_statistics",
]

REAL, SYNTHETIC, NEUTRAL = "#1f2933", "#d1495b", "#7b8794"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _by_defaults(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function under matplotlib's default settings."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        import matplotlib.style

        with matplotlib.style.context("default"):
            return draw(*args, **kwargs)

    return drawn


@_by_defaults
def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, at 110 dots an inch.

    Args:
        figure: Figure of this module.
        path: File, whose suffix names the format.
    """
    figure.savefig(path, dpi=110)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


@_by_defaults
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
    figure = _figure(0.62 * classes * len(rows) + 0.4, 0.62 * per_class + 0.5)
    axes = figure.subplots(1, len(rows), squeeze=False)[0]
    for axis, (title, (images, labels)) in zip(axes, rows.items(), strict=True):
        axis.imshow(_tile(images, labels, classes, side, per_class), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(title)
        axis.axis("off")
    figure.tight_layout()
    return figure


@_by_defaults
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
    figure = _figure(11, 3.8)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    axes[0].scatter(*real.T, s=6, c=real_labels, cmap="tab10")
    axes[0].set_title("real, by class")
    axes[1].scatter(*synthetic.T, s=6, c=synthetic_labels, cmap="tab10")
    axes[1].set_title("synthetic, by class")
    axes[2].scatter(*synthetic.T, s=5, c=SYNTHETIC, alpha=0.5, label="synthetic")
    axes[2].scatter(*real.T, s=5, c=REAL, alpha=0.5, label="real")
    axes[2].set_title("both")
    axes[2].legend(loc="best", fontsize=8)
    for axis in axes:
        axis.set_xlabel("component 1")
    axes[0].set_ylabel("component 2")
    figure.tight_layout()
    return figure


@_by_defaults
def pca_panels(panels: Mapping[str, np.ndarray], labels: Tensor) -> Figure:
    """Draw sources on the same two principal components, one panel each, coloured by class.

    Args:
        panels: Coordinates ``[B, 2]`` by title; the first source is grey in the background of all.
        labels: Labels ``[B]`` of every source.
    """
    figure = _figure(3.3 * len(panels), 3.4)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    behind = next(iter(panels.values()))
    for axis, (title, points) in zip(axes, panels.items(), strict=True):
        axis.scatter(*behind.T, s=9, c="#d8dee4")
        axis.scatter(*points.T, s=5, c=labels, cmap="tab10")
        axis.set(title=title, xlabel="component 1")
    axes[0].set_ylabel("component 2")
    figure.tight_layout()
    return figure


@_by_defaults
def lines(curves: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str) -> Figure:
    """Draw curves in one panel.

    Args:
        curves: Points (x, y) by title.
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
    """
    figure = _figure(6.4, 4.2)
    axis = figure.subplots()
    for title, points in curves.items():
        axis.plot(*zip(*points, strict=True), label=title, linewidth=1.3)
    axis.set(xlabel=x_label, ylabel=y_label)
    axis.legend(fontsize=8)
    axis.grid(color=NEUTRAL, alpha=0.2)
    figure.tight_layout()
    return figure


@_by_defaults
def histogram(samples: Mapping[str, Tensor], end: float, x_label: str) -> Figure:
    """Draw histograms on top of each other.

    Args:
        samples: Numbers ``[B]`` by title.
        end: End of the horizontal axis, which begins at 0.
        x_label: Label of the horizontal axis.
    """
    figure = _figure(6.4, 3.4)
    axis = figure.subplots()
    for title, values in samples.items():
        axis.hist(values.numpy(), bins=64, range=(0, end), label=title, alpha=0.6)
    axis.set(xlabel=x_label, ylabel="trials")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return figure


@_by_defaults
def raster(trials: Mapping[str, Tensor], y_label: str = "read-out neuron") -> Figure:
    """Draw spikes of single trials, a panel each, in as many rows as a readable width needs.

    Args:
        trials: Spikes ``[T, N]`` by title.
        y_label: Label of the vertical axis.
    """
    each = max(1.1, 0.045 * max(map(len, trials.values())))
    columns = min(len(trials), max(1, int(14 / each)))
    rows = -(-len(trials) // columns)
    height = 3.4 if rows == 1 else 2.4 * rows
    figure = _figure(each * columns + 0.8, height)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis in axes.flat[len(trials) :]:
        axis.remove()
    for axis, (title, spikes) in zip(axes.flat, trials.items(), strict=False):
        _draw_raster(axis, spikes)
        axis.set_title(title, fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel(y_label)
    figure.supxlabel("time step", fontsize=9)
    figure.tight_layout()
    return figure


@_by_defaults
def raster_grid(rows: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Draw spikes of one neuron over trials, a panel for each row and column.

    Args:
        rows: Spikes ``[T, B]`` by title of the column, by title of the row.
    """
    columns = len(next(iter(rows.values())))
    figure = _figure(2.1 * columns + 0.6, 1.9 * len(rows) + 0.4)
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    for line, (row_title, panels) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(row_title)
        for axis, (title, spikes) in zip(line, panels.items(), strict=True):
            _draw_raster(axis, spikes)
            axis.set_title(title, fontsize=9)
    figure.supxlabel("time step", fontsize=9)
    figure.tight_layout()
    return figure


@_by_defaults
def event_frames(sources: Mapping[str, Tensor]) -> Figure:
    """Draw event frames averaged over time, a row for each source, and one trial of each over time.

    Args:
        sources: Spikes ``[T, B, C, H, W]`` by title. Of two polarities one is red and one blue.
    """
    steps, columns = next(iter(sources.values())).shape[:2]
    wide = max(columns, steps)
    figure = _figure(1.1 * wide, 2.4 * len(sources))
    axes = figure.subplots(2 * len(sources), wide, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, (title, spikes) in enumerate(sources.items()):
        for column in range(columns):
            axes[row, column].imshow(_polarities(spikes[:, column].mean(0) ** 0.5))
        for step in range(steps):
            axes[len(sources) + row, step].imshow(_polarities(spikes[step, columns // 2]))
        axes[row, 0].set_title(f"{title}, all steps", fontsize=8, loc="left")
        axes[len(sources) + row, 0].set_title(f"{title}, step by step", fontsize=8, loc="left")
    figure.tight_layout(pad=0.3)
    return figure


@_by_defaults
def time_surfaces(sources: Mapping[str, Tensor]) -> Figure:
    """Draw decaying traces of pixels at the end of trials, a row for each source.

    Args:
        sources: Surfaces ``[B, C, H, W]`` in [0, 1] by title, in the colours of `event_frames`.
    """
    columns = len(next(iter(sources.values())))
    figure = _figure(1.1 * columns, 1.3 * len(sources))
    axes = figure.subplots(len(sources), columns, squeeze=False)
    for line, (title, surfaces) in zip(axes, sources.items(), strict=True):
        line[0].set_title(title, fontsize=8, loc="left")
        for axis, surface in zip(line, surfaces, strict=True):
            axis.imshow(_polarities(surface))
            axis.axis("off")
    figure.tight_layout(pad=0.3)
    return figure


def _polarities(frame: Tensor) -> np.ndarray:
    """Return a frame ``[C, H, W]`` in [0, 1] as an RGB picture on white."""
    picture = np.ones((*frame.shape[1:], 3), dtype=np.float32)
    for values, hidden in zip(frame.numpy(), ((1, 2), (0, 1)), strict=False):
        for channel in hidden:
            picture[..., channel] -= values
    return picture.clip(0, 1)


@_by_defaults
def train_statistics(sources: Mapping[str, Tensor], dt: float) -> Figure:
    """Draw inter-spike intervals and autocorrelograms of single neurons into the same two panels.

    Args:
        sources: Spikes ``[T, B]`` by title.
        dt: Length of a time step in seconds.
    """
    figure = _figure(10, 3.6)
    axes = figure.subplots(1, 2)
    for title, trains in sources.items():
        _draw_statistics(axes, trains, dt, {"label": title})
    figure.tight_layout()
    return figure


@_by_defaults
def spike_comparison(sources: Mapping[str, Tensor], dt: float) -> Figure:
    """Draw rasters, inter-spike intervals and autocorrelograms of two sources side by side.

    Args:
        sources: Spikes ``[T, B, N]`` by title. The raster shows the first trial of several neurons, or
            the first 20 trials of a single one.
        dt: Length of a time step in seconds.
    """
    figure = _figure(13, 3.2)
    axes = figure.subplots(1, 4)
    for axis, (title, spikes), colour in zip(axes, sources.items(), (REAL, SYNTHETIC), strict=False):
        one_neuron = spikes.shape[2] == 1
        _draw_raster(axis, spikes[:, :20, 0] if one_neuron else spikes[:, 0])
        axis.set(title=title, xlabel="time step", ylabel="trial" if one_neuron else "neuron")
        _draw_statistics(axes[2:], spikes.flatten(1), dt, {"color": colour, "label": title})
    figure.tight_layout()
    return figure


def _draw_statistics(
    axes: Sequence[Axes], trains: Tensor, dt: float, options: Mapping[str, Any]
) -> None:
    """Draw the histogram of intervals and the autocorrelogram of trains ``[T, B]``."""
    intervals = spike_trains.interspike_intervals(trains)
    bins = np.arange(len(trains) + 1) - 0.5
    edges = (1e3 * dt * bins).tolist()
    axes[0].hist(1e3 * dt * intervals.numpy(), edges, histtype="step", **options)
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
    steps, neurons = np.nonzero(spikes.numpy())
    axis.scatter(steps, neurons, marker="|", s=14, c=REAL, linewidths=1)
    axis.set(xlim=(-0.5, len(spikes) - 0.5), xticks=[0, len(spikes) - 1])


@_by_defaults
def learning_curves(
    lines: Sequence[Mapping[str, float]], panels: Mapping[str, tuple[str, ...]]
) -> Figure:
    """Draw metrics over updates.

    Args:
        lines: Lines of the metrics log, each with its ``update``.
        panels: Names of metrics by title of the panel; absent metrics are left out.
    """
    figure = _figure(3.8 * len(panels), 3.2)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            points = [(line["update"], line[name]) for line in lines if name in line]
            if points:
                style = "." if len(points) == 1 else "-"
                axis.plot(*zip(*points, strict=True), style, label=name.replace("_", " "), linewidth=1)
        axis.set(title=title, xlabel="update")
        if axis.lines:
            axis.legend(fontsize=8)
        axis.grid(color=NEUTRAL, alpha=0.2)
    figure.tight_layout()
    return figure


def _tile(images: Tensor, labels: Tensor, classes: int, side: int, per_class: int) -> np.ndarray:
    """Return images as one picture, a column for each class, with a blank pixel between them."""
    step = side + 1
    canvas = np.zeros((per_class * step, classes * step), dtype=np.float32)
    for label in range(classes):
        for row, image in enumerate(images[labels == label][:per_class]):
            top, left = row * step, label * step
            canvas[top : top + side, left : left + side] = image.reshape(side, side).numpy()
    return canvas
