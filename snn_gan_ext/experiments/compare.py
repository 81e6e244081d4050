"""Comparison of two files of spike trains: the scorecard, as a table and as a page."""

import base64
import io
import json
import math
import warnings
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
from snn_gan_ext.validation import above, check_setting
from snn_gan_ext.version import __version__

__all__ = ["Comparison", "compare", "table"]


class Comparison:
    """Scorecard of two sets of spike trains.

    Attributes:
        table: Row of each sampler, ``other`` among them; ``real`` are two halves of the real set.
        intervals: Central 95 % of the other set's numbers over bootstrap samples, by measure.
        ceiling: Central 95 % of the numbers of random halves of the real set, by measure.
        figures: Functions that draw pictures, by file name without ending.
    """

    def __init__(self, card: Scorecard, figures: Figures, about: Mapping[str, Any]) -> None:
        self.table, self.intervals, self.ceiling = card.table, card.intervals, card.ceiling
        self.figures, self.about = figures, dict(about)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers as plain values; None stands for one that is undefined."""
        rows = {
            name: {key: value if math.isfinite(value) else None for key, value in row.items()}
            for name, row in self.table.items()
        }
        return {
            **self.about,
            "version": __version__,
            "samplers": rows,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "ceiling": {name: list(ends) for name, ends in self.ceiling.items()},
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
            intervals={"halves": self.ceiling, "resamples": self.intervals},
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
    train: Any = None,
    bin: float = 0.02,
    window: float | None = None,
    trials: bool | None = None,
    references: bool = True,
    likelihood: bool = False,
    judges: bool = True,
    resamples: int = 100,
    seed: int = 0,
) -> Comparison:
    """Compare two sets of spike trains, whoever made them.

    Units that are silent in both are left out, with a warning that names them.

    Args:
        real: Real set: a file, an object of pynapple or neo, `SpikeTrains`, `BinnedSpikes`, or spikes
            ``[T, B, N]``, zeros and ones.
        other: Other set, with units of the same names.
        train: Set that the other one was learned from, to find copies of it; none by default.
        bin: Width of a bin in seconds.
        window: Length of a window in seconds; of trials by default the whole trial.
        trials: Whether windows are trials, aligned at their starts; by default if both sets say so and
            no trial is cut into several windows. Spikes in bins do not say so.
        references: Whether to score samplers without a network, too.
        likelihood: Whether to fit a coupled GLM to the real set, and score it, too; slow.
        judges: Whether to train classifiers that tell windows of the sets apart; slow.
        resamples: Number of bootstrap samples, and of random halves of the real set.
        seed: Seed of all randomness.

    Raises:
        InputError: If a set cannot be read, they differ in units or bins, or are too short.
    """
    check_setting("bin", bin, above(0))
    if window is not None:
        check_setting("window", window, above(0))
    given = {"real": real, "other": other} | ({} if train is None else {"train": train})
    found = [_binned(name, x, bin, window) for name, x in given.items()]
    ours, theirs, *learned = [found[0][0], *(_alike(found[0][0], x) for x, _ in found[1:])]
    fires = ours.spikes.flatten(0, 1).any(0) | theirs.spikes.flatten(0, 1).any(0)
    if fires.any() and not fires.all():
        silent = [name for name, each in zip(ours.units, fires, strict=True) if not each]
        text = f"{len(silent)} units are silent in both sets and left out: {', '.join(silent)}"
        warnings.warn(text, stacklevel=2)
        ours, theirs, *learned = (
            x._replace(spikes=x.spikes[..., fires]) for x in (ours, theirs, *learned)
        )
    aligned = all(aligned for _, aligned in found[:2]) if trials is None else trials
    card = scorecard(
        ours.spikes,
        theirs.spikes,
        trials=aligned,
        train=learned[0].spikes if learned else None,
        references=references,
        likelihood=likelihood,
        judges=judges,
        resamples=resamples,
        seed=seed,
    )
    about = {
        "bin_ms": 1000 * ours.width,
        "windows": [x.spikes.shape[1] for x in (ours, theirs)],
        "units": ours.spikes.shape[2],
        "lost_spikes": [round(x.lost, 4) for x in (ours, theirs)],
        "trials": aligned,
        "seed": seed,
    }
    shown = {"real": ours.spikes, "other": theirs.spikes}
    return Comparison(card, population_figures(shown, ours.width), about)


def _binned(name: str, given: Any, width: float, window: float | None) -> tuple[BinnedSpikes, bool]:
    """Return spikes in bins, and whether windows are trials."""
    if isinstance(given, BinnedSpikes):
        return given._replace(spikes=populations.check_population(given.spikes)), False
    if isinstance(given, Tensor | np.ndarray):
        if isinstance(given, np.ndarray) and given.dtype.kind not in "biuf":
            raise InputError(name, expected="zeros and ones", got=f"an array of {given.dtype}")
        spikes = populations.check_population(torch.as_tensor(given))
        units = tuple(map(str, range(spikes.shape[2])))
        starts = np.arange(spikes.shape[1], dtype=float) * len(spikes) * width
        return BinnedSpikes(spikes, None, None, starts, width, 0.0, units), False
    # A unit that is silent in one set alone differs between them.
    trains = read_spike_trains(given, keep_silent=True)
    binned = trains.bin(width, window)
    return binned, trains.trials and len(binned.starts) == len(trains.spans)


def _alike(real: BinnedSpikes, other: BinnedSpikes) -> BinnedSpikes:
    """Return the other set with units in the order of the real one's."""
    if not math.isclose(real.width, other.width):
        got = f"{1000 * real.width:g} and {1000 * other.width:g} ms"
        cure = "give `bin` the width of spikes in bins"
        raise InputError("bins", expected="one width in all sets", got=got, cure=cure)
    if real.units == other.units:
        return other
    if set(real.units) != set(other.units):
        only = [sorted(set(a.units) - set(b.units)) for a, b in ((real, other), (other, real))]
        got = f"{only[0][:5]} in the real set alone, {only[1][:5]} in the other alone"
        cure = "select the units that both have"
        raise InputError("units", expected="the same units in both sets", got=got, cure=cure)
    order = [other.units.index(name) for name in real.units]
    return other._replace(spikes=other.spikes[..., order], units=real.units)


def table(comparison: Comparison) -> str:
    """Return the scorecard as a Markdown table, measures by row."""
    keys = {key: None for row in comparison.table.values() for key in row}
    out = io.StringIO()
    names = list(comparison.table)
    out.write(f"| measure | {' | '.join(names)} | 95 % of halves | 95 % of {names[-1]} |\n")
    out.write("| --- " * (len(names) + 3) + "|\n")
    for key in keys:
        cells = [cell(row.get(key)) for row in comparison.table.values()]
        both = (x.get(key) for x in (comparison.ceiling, comparison.intervals))
        cells += ["" if x is None else f"{cell(x[0])} .. {cell(x[1])}" for x in both]
        out.write(f"| {key} | {' | '.join(cells)} |\n")
    return out.getvalue()
