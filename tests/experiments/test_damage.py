"""Damaged files of a run are refused in one line, or read as what they were."""

import json
import random
import resource

import pytest
import torch

from snn_gan_ext import InputError, plots
from snn_gan_ext.experiments import checkpoint, loop, report, runs

MUCH = 64 * 1024  # KiB: far more than any file of a run
BRIAN = {
    "passed": True,
    "trials": 20,
    "replayed_trials": 5,
    "networks": {
        "spikegan": {
            "mismatches": {"readout": 0},
            "replayed_spikes": 70,
            "statistics": [{"name": "rate", "ours": 1.25, "brian": 1.5, "p": None}],
        }
    },
}


def damaged(whole, rng):
    """Cut a file off, flip a bit, or write noise or a large size into it."""
    place = rng.randrange(len(whole))
    other = rng.choice(
        [
            b"",
            bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :],
            rng.randbytes(rng.randint(1, 64)) + whole[place + rng.randint(1, 64) :],
            b"\xff" * 7 + b"\x7f" + whole[place + 8 :],
            str(10 ** rng.choice([9, 18, 400])).encode() + whole[place + 1 :],
        ]
    )
    return whole[:place] + other


def read_weights(folder):
    trainer, seconds = runs._load(folder, "cpu", "")
    return trainer.experiment.identity(), dict(trainer.generators.state_dict()), seconds


def read_checkpoint(folder):
    found = checkpoint.load_checkpoint(
        folder / "checkpoint.pt", runs.read_experiment(folder).identity()
    )
    return dict(found._asdict())


def read_scorecard(folder):
    report.render(runs.read_experiment(folder), runs.read_metrics_json(folder), [])


def read_log(folder):
    panels = runs.read_experiment(folder).evaluation.panels
    plots.learning_curves(loop.read_metrics(folder / "metrics.jsonl"), panels)


def read_crosscheck(folder):
    runs.write_report(folder, runs.read_experiment(folder), runs.read_metrics_json(folder))


READERS = {
    "config.json": read_weights,
    "generator.safetensors": read_weights,
    "checkpoint.pt": read_checkpoint,
    "metrics.json": read_scorecard,
    "metrics.jsonl": read_log,
    "crosscheck.json": read_crosscheck,
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("times", [25, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_in_one_line_or_read_as_it_was(name, times, copied, capsys):
    folder, read, rng = copied("digits"), READERS[name], random.Random(name)
    (folder / "crosscheck.json").write_text(json.dumps(BRIAN))
    expected, whole, before = read(folder), (folder / name).read_bytes(), memory()
    capsys.readouterr()
    for _ in range(times):
        (folder / name).write_bytes(damaged(whole, rng))
        refusal = ""
        try:
            found = read(folder)
        except InputError as error:
            refusal = f"{error}"
        assert refusal or same(found, expected)
        assert "\n" not in refusal
        assert capsys.readouterr().err.count("\n") <= 1
    assert memory() < before + MUCH
