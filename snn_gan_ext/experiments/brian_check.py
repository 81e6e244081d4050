"""A trained run in Brian2: replayed spike for spike, and compared by statistics."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from snn_gan_ext import plots
from snn_gan_ext.brian import equivalence
from snn_gan_ext.brian.network import Target, use_target
from snn_gan_ext.errors import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.checkpoint import write_atomically
from snn_gan_ext.rng import stream
from snn_gan_ext.validation import SEED, check_setting, whole

__all__ = ["crosscheck_run"]


def crosscheck_run(
    folder: Path,
    *,
    target: Target = "numpy",
    trials: int = 200,
    replayed: int = 20,
    false_alarm: float = 0.01,
    dt: float = 1e-3,
    seed: int = 0,
) -> dict[str, Any]:
    """Replay a run's generators in Brian2, and compare free runs.

    Args:
        folder: Finished run.
        target: Brian2's code generation target.
        trials: Number of trials of each free run, ours and Brian2's.
        replayed: Number of trials replayed on the same noise; all classes should be among them.
        false_alarm: Probability that a right network fails the comparison; shared among generators.
        dt: Length of a time step in seconds.
        seed: Seed of all noise.

    Returns:
        The contents of ``crosscheck.json``; ``passed`` is true if all checks passed.

    Raises:
        InputError: If the folder holds no finished run of a GLM network, or Brian2 is missing.
    """
    check_setting("--trials", trials, whole(20))
    check_setting("--seed", seed, SEED)
    if replayed < 1 or not 0 < false_alarm < 1:
        expected = "at least one trial, and a rate between 0 and 1"
        got = f"{replayed} and {false_alarm}"
        raise InputError("replayed and false_alarm", expected=expected, got=got)
    trainer = runs.load_run(folder)
    metrics = runs.read_metrics_json(folder)
    networks = trainer.glm_networks()
    if not networks:
        got = f"recipe {trainer.experiment.name!r}"
        raise InputError(f"{folder}", expected="a run with a network of GLM layers", got=got)
    options = dict(target=target, trials=trials, replayed_trials=replayed, false_alarm=false_alarm)
    found: dict[str, Any] = {**options, "dt": dt, "seed": seed, "networks": {}}
    free_runs: dict[str, tuple[Tensor, Tensor]] = {}
    bar = tqdm(networks.items(), "crosscheck", unit="network", disable=None, leave=False)
    for name, generator in bar:
        rng = stream(seed, "crosscheck")
        with use_target(target):
            ours, brian = equivalence.replay(generator, trainer.data.labels(replayed), rng, dt)
        with use_target(target):
            free = equivalence.free_run(generator, trainer.data.labels(trials), rng, seed, dt)
        table = equivalence.compare(*free, dt, false_alarm, comparisons=len(networks))
        wrong = equivalence.mismatches(ours, brian)
        found["networks"][name] = {
            "replayed_spikes": int(sum(spikes.sum() for spikes in ours.values())),
            "mismatches": wrong,
            "statistics": [line.as_json() for line in table],
            "passed": not any(wrong.values()) and all(line.passed for line in table),
        }
        free_runs[name] = free
    for name, free in free_runs.items():
        figure = plots.spike_comparison({"snn_gan_ext": free[0], "Brian2": free[1]}, dt)
        figure.suptitle(name)
        plots.save(figure, folder / f"crosscheck_{name.replace(' ', '_')}.png")
    found["passed"] = all(network["passed"] for network in found["networks"].values())
    write_atomically(folder / "crosscheck.json", json.dumps(found, indent=2) + "\n")
    runs.write_report(folder, trainer.experiment, metrics)
    return found
