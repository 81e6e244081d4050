"""Pins every recipe: its weights after 20 updates at seed 0, and the numbers in its first log lines.

A change that should change no result changes none of the pins::

    python -m tests.pins            # compares with recipes.json, and names what differs
    python -m tests.pins --write    # after a change that is meant to change results

Hashes are those of one machine's arithmetic: write them on it before the change.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snn_gan_ext.experiments.loop import fit
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.single_neuron import SingleNeuronData
from snn_gan_ext.experiments.trainer import build

TABLE = Path(__file__).with_name("recipes.json")
FEWER_TRIALS = 500


def modules(state: Any) -> list[nn.Module]:
    if hasattr(state, "states"):
        return [module for part in state.states.values() for module in modules(part)]
    return [value for value in vars(state).values() if isinstance(value, nn.Module)]


def digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def numbers(line: dict[str, float]) -> str:
    return f"{sorted(repr(value) for name, value in line.items() if name != 'update')}"


def pin(name: str) -> dict[str, str]:
    experiment = RECIPES[name]
    if isinstance(experiment.data, SingleNeuronData):
        experiment = experiment.vary({"data.trials": FEWER_TRIALS})
    e = build(experiment, torch.device("cpu"))
    e.prepare()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            e.algorithm,
            e.state,
            e.next_batch,
            updates=20,
            folder=Path(folder),
            config={"recipe": name},
            monitor=e.monitor,
            monitor_every=20,
            log_every=1,
            progress=False,
        )
        log = [json.loads(x) for x in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    weights = sorted(
        hashlib.sha256(
            str(tuple(p.shape)).encode() + p.detach().contiguous().numpy().tobytes()
        ).hexdigest()
        for module in modules(e.state)
        for p in module.parameters()
    )
    return {
        "weights": digest(weights),
        "log": digest(map(numbers, log[:20])),
        "monitor": digest(
            [value for value in sorted(repr(v) for k, v in log[-1].items() if k != "update")]
        ),
    }


def main(arguments: list[str]) -> int:
    torch.set_num_threads(1)
    write = "--write" in arguments
    names = [name for name in arguments if not name.startswith("-")] or list(RECIPES)
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    differing = 0
    for name in names:
        found = pin(name)
        same = found == table.get(name)
        differing += not same
        print(name, "same" if same else f"differs: {found}", flush=True)
        table[name] = found
    if write:
        TABLE.write_text(json.dumps(table, indent=2) + "\n")
    return 0 if write else int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
