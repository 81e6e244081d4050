"""A Markdown table of run folders: mean and range over seeds for each group of runs.

Usage: python -m benchmarks.table KEY[,KEY...] FOLDER...

Folders whose names differ only behind their last '-' (the seed) are one group. KEY is a number of
metrics.json, or one inside an object of it, as bayes.valid.
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def cell(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def number(metrics: Any, key: str) -> float:
    for part in key.split("."):
        metrics = metrics[part]
    return float(metrics)


def main(keys: list[str], folders: list[Path]) -> None:
    groups: dict[str, list[Any]] = defaultdict(list)
    for folder in sorted(folders):
        name = folder.name.rpartition("-")[0] or folder.name
        groups[name].append(json.loads((folder / "metrics.json").read_text()))
    print("| run | seeds |", " | ".join(keys), "|")
    print("| --- " * (len(keys) + 2) + "|")
    for name, runs in groups.items():
        cells = [cell([number(run, key) for run in runs]) for key in keys]
        print(f"| {name} | {len(runs)} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1].split(","), [Path(name) for name in sys.argv[2:]])
