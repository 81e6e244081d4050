"""A Markdown table of run folders: mean and range over seeds for each group of runs.

Usage: python -m benchmarks.table KEY[,KEY...] FOLDER...

Folders whose names differ only behind their last '-' (the seed) are one group.
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def cell(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(keys: list[str], folders: list[Path]) -> None:
    groups: dict[str, list[dict[str, float]]] = defaultdict(list)
    for folder in sorted(folders):
        name = folder.name.rpartition("-")[0] or folder.name
        groups[name].append(json.loads((folder / "metrics.json").read_text()))
    print("| run | seeds |", " | ".join(keys), "|")
    print("| --- " * (len(keys) + 2) + "|")
    for name, runs in groups.items():
        cells = [cell([run[key] for run in runs]) for key in keys]
        print(f"| {name} | {len(runs)} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main(sys.argv[1].split(","), [Path(name) for name in sys.argv[2:]])
