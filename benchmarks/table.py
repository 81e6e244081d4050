"""A Markdown table of run folders: mean and range over seeds, by group of runs and sampler.

Usage: python -m benchmarks.table MEASURE[,MEASURE...] FOLDER...

Folders whose names differ only behind their last '-' (the seed) are one group.
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def cell(values: list[float]) -> str:
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(measures: list[str], folders: list[Path]) -> None:
    groups: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for folder in sorted(folders):
        name = folder.name.rpartition("-")[0] or folder.name
        for sampler, row in json.loads((folder / "metrics.json").read_text())["samplers"].items():
            groups[name, sampler].append(row)
    print("| run | sampler | seeds |", " | ".join(measures), "|")
    print("| --- " * (len(measures) + 3) + "|")
    for (name, sampler), rows in groups.items():
        cells = [cell([row[key] for row in rows if key in row]) for key in measures]
        print(f"| {name} | {sampler} | {len(rows)} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1].split(","), [Path(name) for name in sys.argv[2:]])
