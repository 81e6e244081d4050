"""The command, and short runs of every family of recipes."""

import json

from snn_gan_ext import cli

SHORT = {
    "digits": (
        "--updates=40 --seed=3 --checkpoint-every=15 "
        "--evaluation.synthetic-count=100 --evaluation.copies=1"
    ),
    "digits-spikes-pooled": (
        "--updates=3 --generator.hidden=8 --evaluation.synthetic-count=100 --evaluation.copies=1 "
        "--evaluation.classifier-updates=1"
    ),
    "digits-meta": (
        "--updates=6 --monitor-every=3 --stored-tasks=1 --learner.inner.updates=1 "
        "--evaluation.updates=5 --evaluation.tasks=2 --evaluation.synthetic-count=20"
    ),
    "temporal-modes": (
        "--updates=6 --monitor-every=2 --checkpoint-every=4 --generator.size=2 --data.trials=50 "
        "--evaluation.synthetic-count=100"
    ),
    "brian-adex": (
        "--updates=3 --batch=20 --data.trials=60 --data.num-steps=100 "
        "--evaluation.synthetic-count=200 --evaluation.classifier-updates=3"
    ),
    "nmnist-small": (
        "--updates=3 --data.pool=4 --evaluation.synthetic-count=100 --evaluation.classifier-updates=30"
    ),
    "nmnist-augment": (
        "--updates=3 --data.pool=4 --data.shots=3 "
        "--evaluation.copies=2 --evaluation.classifier-updates=30"
    ),
    "ttfs-digits": "--updates=150 --monitor-every=100",
    "spiking-gan-digits": (
        "--updates=40 --monitor-every=20 --checkpoint-every=15 --evaluation.synthetic-count=300"
    ),
}
"""Options of a run of a few seconds, for a recipe of each family."""


def command(*arguments):
    return cli.main([str(argument) for argument in arguments])


def scorecard(folder):
    return json.loads((folder / "metrics.json").read_text())


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pictures(folder):
    return {path.stem for path in folder.glob("*.png")}


def refused(capsys, *arguments):
    """The one line on standard error with which the command refuses its arguments."""
    capsys.readouterr()
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err
