"""The run report: one self-contained HTML page."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment

from snn_gan_ext.experiments.recipes.base import Recipe

__all__ = ["brian_checks", "number", "render"]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ recipe.name }}, seed {{ recipe.seed }}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
         color: #1f2933; }
  table { border-collapse: collapse; margin-bottom: 2rem; }
  th, td { text-align: left; padding: .2rem 1.5rem .2rem 0; border-bottom: 1px solid #e4e7eb; }
  td + td { font-variant-numeric: tabular-nums; }
  img { max-width: 100%; }
  details { margin: 1rem 0; }
</style>
</head>
<body>
<h1>{{ recipe.name }}</h1>
<p>{{ recipe.summary }}. Seed {{ recipe.seed }}, {{ recipe.steps }} steps, judged on the
{{ recipe.evaluate_on }} split.</p>
<table>
<tr><th>measure</th><th>value</th></tr>
{% for name, value in metrics -%}
<tr><td>{{ name.replace("_", " ") }}</td><td>{{ value }}</td></tr>
{% endfor -%}
</table>
{% for table in tables -%}
<table>
<tr><th></th>{% for key in table.columns %}<th>{{ key.replace("_", " ") }}</th>{% endfor %}</tr>
{% for name, values in table.rows.items() -%}
<tr><td>{{ name.replace("_", " ") }}</td>
{%- for key in table.columns %}<td>{{ values.get(key, "-") }}</td>{% endfor %}</tr>
{% endfor -%}
</table>
{% endfor -%}
{% for title, data in pictures -%}
<h2>{{ title.replace("_", " ") }}</h2>
<img alt="{{ title }}" src="data:image/png;base64,{{ data }}">
{% endfor -%}
<details><summary>Settings</summary>
<table>
{% for name, value in recipe.to_config().items() -%}
<tr><td>{{ name }}</td><td>{{ value }}</td></tr>
{% endfor -%}
</table>
</details>
</body>
</html>
"""


def render(recipe: Recipe, metrics: Mapping[str, Any], pictures: Sequence[Path]) -> str:
    """A page with the metrics, the pictures (embedded) and the settings of a run.

    Args:
        recipe: what was run.
        metrics: numbers by name.
        pictures: PNG files.
    """
    encoded = [(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in pictures]
    template = Environment(autoescape=True).from_string(PAGE)
    tables = _tables(metrics)
    shown = {name for table in tables for name in table.rows}
    lines = [
        line for name, value in metrics.items() if name not in shown for line in _lines(name, value)
    ]
    return template.render(recipe=recipe, metrics=lines, tables=tables, pictures=encoded) + "\n"


class _Table(NamedTuple):
    columns: list[str]
    rows: dict[str, Mapping[str, Any]]


def _tables(metrics: Mapping[str, Any]) -> list[_Table]:
    """Metrics that are objects and share most keys, as those of several generators do, together."""
    tables: list[_Table] = []
    for name, value in metrics.items():
        if not isinstance(value, Mapping) or any(isinstance(x, Mapping) for x in value.values()):
            continue
        alike = (table for table in tables if _mostly_the_same(table.columns, value))
        table = next(alike, None)
        if table is None:
            tables.append(table := _Table([], {}))
        table.columns.extend(key for key in value if key not in table.columns)
        table.rows[name] = value
    return [table for table in tables if len(table.rows) > 1]


def _mostly_the_same(first: Iterable[str], second: Iterable[str]) -> bool:
    a, b = set(first), set(second)
    return 2 * len(a & b) > len(a | b)


def _lines(name: str, value: Any) -> list[tuple[str, Any]]:
    """A metric as lines of the table; an object of several has one for each."""
    if isinstance(value, Mapping):
        return [line for key, part in value.items() for line in _lines(f"{name}: {key}", part)]
    return [(name, value)]


def brian_checks(found: Mapping[str, Any]) -> dict[str, Any]:
    """Contents of ``crosscheck.json`` as lines of the table."""
    checks: dict[str, Any] = {"passed": found["passed"]}
    for name, network in found["networks"].items():
        checks[name] = {"mismatched spikes": sum(network["mismatches"].values())}
        for line in network["statistics"]:
            means = f"{number(line['ours'])} and {number(line['brian'])}"
            checks[name][line["name"]] = f"{means}, corrected p {number(line['p'])}"
    return checks


def number(value: float | None) -> str:
    """A number for people; a dash where there was nothing to take it of."""
    return "-" if value is None else f"{value:.3g}"
