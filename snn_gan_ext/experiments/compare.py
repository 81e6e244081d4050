"""Comparison of two files of spike trains: the scorecard, as a table and as a page."""

import base64
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_gan_ext import plots
from snn_gan_ext.datasets.spike_train_files import read_spike_trains
from snn_gan_ext.datasets.spike_trains import BinnedSpikes
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.experiments.evaluation import Figures, population_figures
from snn_gan_ext.experiments.measures import MEASURES, SAMPLERS, Measure
from snn_gan_ext.experiments.report import cell
from snn_gan_ext.metrics import populations
from snn_gan_ext.metrics.scorecard import Scorecard, scorecard
from snn_gan_ext.version import __version__

__all__ = ["Comparison", "compare", "table"]


class Comparison:
    """Scorecard of two sets of spike trains.

    Attributes:
        table: Row of each sampler, ``other`` among them; ``real`` are two halves of the real set.
        intervals: Central 95 % of the other set's numbers, by measure.
        figures: Functions that draw pictures, by file name without ending.
    """

    def __init__(self, card: Scorecard, figures: Figures, about: Mapping[str, Any]) -> None:
        self.table, self.intervals, self.figures = card.table, card.intervals, figures
        self.about = dict(about)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return {
            **self.about,
            "version": __version__,
            "samplers": {name: dict(row) for name, row in self.table.items()},
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
        }

    def save(self, folder: Path | str) -> None:
        """Write ``metrics.json``, pictures and ``report.html`` into a folder, made if it is missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "metrics.json", json.dumps(self.to_dict(), indent=2) + "\n")
        pictures = []
        for name, draw in self.figures.items():
            plots.save(draw(), folder / f"{name}.png")
            content = (folder / f"{name}.png").read_bytes()
            pictures.append((name, base64.b64encode(content).decode()))
        write_atomically(folder / "report.html", self._page(pictures))

    def _page(self, pictures: list[tuple[str, str]]) -> str:
        from jinja2 import Environment, StrictUndefined

        template = files(__package__).joinpath("compare.html.jinja").read_text("utf-8")
        page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
        keys = {key: None for row in self.table.values() for key in row}
        measures = {key: MEASURES.get(key, Measure(key.replace("_", " "), "")) for key in keys}
        text = page.render(
            about=self.about,
            samplers=self.table,
            intervals=self.intervals,
            measures=measures,
            titles=SAMPLERS,
            cell=cell,
            pictures=pictures,
        )
        return f"{text}\n"


def compare(
    real: Any,
    other: Any,
    *,
    bin: float = 0.02,
    window: float | None = None,
    references: bool = True,
    judges: bool = True,
    resamples: int = 100,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of spike trains, whoever made them.

    Args:
        real: Real set: a file, an object of pynapple or neo, `SpikeTrains`, or binned spikes
            ``[T, B, N]`` (windows of one recording).
        other: Other set, with units of the same names.
        bin: Width of a bin in seconds.
        window: Length of a window in seconds; of trials by default the whole trial.
        references: Whether to score samplers without a network, too.
        judges: Whether to train classifiers that tell windows of the sets apart; the slow part.
        resamples: Number of bootstrap samples.
        seed: Seed of all randomness.

    Raises:
        InputError: If a set cannot be read, they have different units, or are too short.
    """
    pair = [_binned(name, x, bin, window) for name, x in (("real", real), ("other", other))]
    (ours, trials), (theirs, _) = pair
    if ours.units != theirs.units:
        if set(ours.units) != set(theirs.units):
            only = [sorted(set(a.units) - set(b.units)) for a, b in ((ours, theirs), (theirs, ours))]
            got = f"{only[0][:5]} in the real set alone, {only[1][:5]} in the other alone"
            cure = "select the units that both have"
            raise InputError("units", expected="the same units in both sets", got=got, cure=cure)
        order = [theirs.units.index(name) for name in ours.units]
        theirs = theirs._replace(spikes=theirs.spikes[..., order])
    options = {"references": references, "judges": judges, "resamples": resamples, "seed": seed}
    card = scorecard(ours.spikes, theirs.spikes, trials=trials, **options)  # type: ignore[arg-type]
    about = {
        "bin_ms": 1000 * ours.width,
        "windows": [x.spikes.shape[1] for x in (ours, theirs)],
        "units": len(ours.units),
        "lost_spikes": [round(x.lost, 4) for x in (ours, theirs)],
        "trials": trials,
        "seed": seed,
    }
    shown = {"real": ours.spikes, "other": theirs.spikes}
    return Comparison(card, population_figures(shown, ours.width), about)


def _binned(name: str, given: Any, width: float, window: float | None) -> tuple[BinnedSpikes, bool]:
    """Return spikes in bins, and whether windows are trials."""
    if isinstance(given, BinnedSpikes):
        return given, False
    if isinstance(given, Tensor | np.ndarray):
        spikes = torch.as_tensor(given)
        populations.check_population(spikes)
        units = tuple(map(str, range(spikes.shape[2])))
        starts = np.arange(spikes.shape[1], dtype=float) * len(spikes) * width
        return BinnedSpikes(spikes, None, None, starts, width, 0.0, units), False
    trains = read_spike_trains(given)
    return trains.bin(width, window), trains.trials


def table(comparison: Comparison) -> str:
    """Return the scorecard as a Markdown table, measures by row."""
    keys = {key: None for row in comparison.table.values() for key in row}
    out = io.StringIO()
    names = list(comparison.table)
    out.write(f"| measure | {' | '.join(names)} | 95 % of {names[-1]} |\n")
    out.write("| --- " * (len(names) + 2) + "|\n")
    for key in keys:
        cells = [cell(row.get(key)) for row in comparison.table.values()]
        ends = comparison.intervals.get(key)
        interval = "" if ends is None else f"{ends[0]:.3f} .. {ends[1]:.3f}"
        out.write(f"| {key} | {' | '.join(cells)} | {interval} |\n")
    return out.getvalue()
