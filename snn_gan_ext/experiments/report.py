"""The run report: one self-contained HTML page."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_gan_ext.experiments.experiment import Experiment, flat
from snn_gan_ext.experiments.measures import MEASURES, SAMPLERS, Measure
from snn_gan_ext.experiments.recipes import SUMMARIES

__all__ = ["number", "render"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ name }}, seed {{ metrics.seed }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
         color: #1f2933; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; margin-bottom: 2rem; }
  th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid #e4e7eb;
           vertical-align: top; }
  td + td { font-variant-numeric: tabular-nums; }
  th.ours, td.ours { background: #eef4fb; padding-left: .6rem; }
  small { color: #616e7c; display: block; }
  img { max-width: 100%; }
  details { margin: 1rem 0; }
</style>
</head>
<body>
<h1>{{ name }}</h1>
<p>{{ summary }}. Seed {{ metrics.seed }}, {{ metrics.updates }} updates in
{{ metrics.seconds | round(1) }} s, evaluated on the {{ metrics.evaluated_on }} split.</p>
<div class="wide"><table>
<tr><th>measure</th><th>perfect</th>
{%- for sampler in samplers %}<th{% if sampler in trained %} class="ours"{% endif %}>
{{ titles.get(sampler, sampler | replace("_", " ")) }}</th>{% endfor %}</tr>
{% for key, measure in measures.items() -%}
<tr><td>{{ measure.words }}<small>{{ key }}</small></td><td>{{ measure.perfect }}</td>
{%- for sampler, row in samplers.items() -%}
<td{% if sampler in trained %} class="ours"{% endif %}>{{ shown(row.get(key)) }}</td>
{%- endfor %}</tr>
{% endfor -%}
</table></div>
{% if others -%}
<table>
{% for key, value in others.items() -%}
<tr><td>{{ key | replace("_", " ") }}</td><td>{{ value }}</td></tr>
{% endfor -%}
</table>
{% endif -%}
{% if brian -%}
<h2>Brian2</h2>
<p>{{ "All checks passed" if brian.passed else "A check failed" }}: the same spikes on the same noise in
{{ brian.replayed_trials }} trials, and the same statistics in {{ brian.trials }} free trials each.</p>
<table>
<tr><th>network</th><th>statistic</th><th>here</th><th>Brian2</th><th>corrected p</th></tr>
{% for name, network in brian.networks.items() -%}
<tr><td>{{ name }}</td><td>mismatched spikes</td><td colspan="3">
{{- network.mismatches.values() | sum }} of {{ network.replayed_spikes }}</td></tr>
{% for line in network.statistics -%}
<tr><td></td><td>{{ line.name }}</td><td>{{ shown(line.ours) }}</td><td>{{ shown(line.brian) }}</td>
<td>{{ shown(line.p) }}</td></tr>
{% endfor -%}
{% endfor -%}
</table>
{% endif -%}
{% for title, data in pictures -%}
<h2>{{ title | replace("_", " ") }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ data }}">
{% endfor -%}
<details><summary>Settings</summary>
<table>
{% for key, value in settings.items() -%}
<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor -%}
</table>
</details>
</body>
</html>
"""
IN_HEADER = ("recipe", "seed", "updates", "evaluated_on", "seconds", "version", "samplers")


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
    from jinja2 import Environment

    samplers: Mapping[str, Mapping[str, float]] = metrics["samplers"]
    keys = {key: None for row in samplers.values() for key in row}
    page = Environment(autoescape=True).from_string(PAGE)
    return (
        page.render(
            name=experiment.name,
            summary=SUMMARIES.get(experiment.name, ""),
            metrics=metrics,
            samplers=samplers,
            trained=set(experiment.arms),
            titles=SAMPLERS,
            measures={key: MEASURES.get(key, Measure(key.replace("_", " "), "")) for key in keys},
            others=_plain_entries(metrics),
            brian=brian,
            shown=number,
            pictures=[(p.stem, base64.b64encode(p.read_bytes()).decode()) for p in pictures],
            settings=flat(experiment.to_config()),
        )
        + "\n"
    )


def _plain_entries(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that belong to no sampler; tables of curves are for programs."""
    return {
        key: value
        for key, value in metrics.items()
        if key not in IN_HEADER and not isinstance(value, Mapping)
    }


def number(value: float | None) -> str:
    """Return a number for people; a dash where there is none."""
    return "-" if value is None else f"{value:.3g}"
