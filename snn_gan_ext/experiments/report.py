"""The run report: one self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from snn_gan_ext.experiments.experiment import Experiment, flat
from snn_gan_ext.experiments.measures import MEASURES, OTHERS, PICTURES, SAMPLERS, Measure
from snn_gan_ext.experiments.recipes import SUMMARIES

__all__ = ["number", "render"]

IN_HEADER = ("recipe", "seed", "updates", "evaluated_on", "seconds", "version", "samplers", "pictures")


def render(
    experiment: Experiment,
    metrics: Mapping[str, Any],
    pictures: Sequence[Path],
    brian: Mapping[str, Any] | None = None,
) -> str:
    """Render a page with the scorecard, the pictures (embedded) and the settings of a run.

    Args:
        experiment: Experiment of the run.
        metrics: Contents of ``metrics.json``.
        pictures: PNG files.
        brian: Contents of ``crosscheck.json``.
    """
    from jinja2 import Environment, StrictUndefined

    samplers: Mapping[str, Mapping[str, float]] = metrics["samplers"]
    keys = {key: None for row in samplers.values() for key in row}
    template = files(__package__).joinpath("report.html.jinja").read_text("utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    # Numbers that belong to no sampler; tables of curves are for programs.
    plain = {key: value for key, value in metrics.items() if not isinstance(value, Mapping)}
    text = page.render(
        name=experiment.name,
        summary=SUMMARIES.get(experiment.name, ""),
        metrics=metrics,
        samplers=samplers,
        trained=set(experiment.arms),
        titles=SAMPLERS,
        measures={key: MEASURES.get(key, Measure(key.replace("_", " "), "")) for key in keys},
        others={key: value for key, value in plain.items() if key not in IN_HEADER},
        brian=brian,
        cell=cell,
        titles_of_pictures=PICTURES,
        words=OTHERS,
        shown=number,
        pictures=[(p.stem, base64.b64encode(p.read_bytes()).decode()) for p in pictures],
        settings=flat(experiment.to_config()),
    )
    return f"{text}\n"


def cell(value: float | None) -> str:
    """Return a number as a cell of the scorecard, so that the digits of a row stand in line."""
    return "-" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"


def number(value: float | None) -> str:
    """Return a number for people; a dash where there is none."""
    return "-" if value is None else f"{value:.3g}"
