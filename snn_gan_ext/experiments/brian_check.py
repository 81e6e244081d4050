"""A trained run in Brian2: replayed spike for spike, and compared by statistics."""

import json
import re
from functools import partial
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
from snn_gan_ext.validation import SEED, above, between, check_setting, whole

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
        InputError: If the folder holds no finished run of a GLM network, another process writes into
            it, or Brian2 or elephant is missing.
    """
    check_setting("--trials", trials, whole(20))
    check_setting("--seed", seed, SEED)
    check_setting("replayed", replayed, whole(1))
    check_setting("false_alarm", false_alarm, between(0, 1, closed="neither"))
    check_setting("dt", dt, above(0))
    equivalence.require_elephant()
    experiment = runs.read_experiment(folder)
    options = dict(target=target, trials=trials, replayed_trials=replayed, false_alarm=false_alarm)
    found: dict[str, Any] = {**options, "dt": dt, "seed": seed, "networks": {}}
    free_runs: dict[str, tuple[Tensor, Tensor]] = {}
    with runs.locked(folder):
        trainer = runs.load_run(folder)
        metrics = runs.read_metrics_json(folder)
        networks = trainer.glm_networks()
        if not networks:
            expected, got = "a run with a network of GLM layers", f"recipe {experiment.name!r}"
            raise InputError(f"{folder}", expected=expected, got=got)
        for name, generator in tqdm(networks.items(), "crosscheck", disable=None, leave=False):
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
        found["passed"] = all(network["passed"] for network in found["networks"].values())
        write_atomically(folder / "crosscheck.json", json.dumps(found, indent=2) + "\n")
        pictures = {}
        for name, free in free_runs.items():
            sources = dict(zip(("snn_gan_ext", "Brian2"), free, strict=True))
            file = "crosscheck_" + re.sub(r"[^\w-]", "_", name)
            pictures[file] = partial(plots.spike_comparison, sources, dt, name)
        runs.save_pictures(pictures, folder)
        runs.write_report(folder, experiment, metrics)
    return found
