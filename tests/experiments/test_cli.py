"""The command: options reach their settings, and every failure has its exit code and one line."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments import runs, samples
from snn_gan_ext.experiments.loop import NonFiniteError
from snn_gan_ext.experiments.recipes import RECIPES
from tests.experiments.helpers import command, refused


@pytest.fixture
def asked(monkeypatch):
    """Experiments and run options that the command has asked for; nothing is trained."""
    calls = []

    def train(experiment, folder, **options):
        calls.append((experiment, folder, options))
        return {}

    monkeypatch.setattr(runs, "train", train)
    return calls


def experiment_of(asked, *arguments):
    assert command("train", *arguments) == 0
    return asked.pop()[0]


@pytest.mark.parametrize("name", RECIPES)
def test_without_options_a_recipe_is_run_as_it_is(name, asked):
    assert experiment_of(asked, name) == RECIPES[name]


@pytest.mark.parametrize(
    ("name", "option", "changes"),
    [
        ("digits", "--seed=7", {"seed": 7}),
        ("digits", "--batch=64", {"batch": 64}),
        ("digits", "--evaluate-on=validation", {"evaluate_on": "validation"}),
        ("digits", "--learner.r1=0.5", {"learner.r1": 0.5}),
        ("digits", "--learner.estimator=hybrid", {"learner.estimator": "hybrid"}),
        ("digits", "--learner.schedule.end=0.1", {"learner.schedule.end": 0.1}),
        ("digits", "--data.num-steps=16", {"data.num_steps": 16}),
        ("digits", "--data.noise-fraction=0.2", {"data.noise_fraction": 0.2}),
        ("digits", "--generator.no-gate-latent", {"generator.gate_latent": False}),
        ("digits", "--generator.basis.window=9", {"generator.basis.window": 9}),
        ("digits", "--evaluation.synthetic-count=500", {"evaluation.synthetic_count": 500}),
        ("digits-bayes", "--generator.size=10", {"generator.size": 10}),
        ("digits-bayes", "--generator.member.hidden=8", {"generator.member.hidden": 8}),
        ("digits-meta", "--learner.inner.generator-lr=0.1", {"learner.inner.generator_lr": 0.1}),
        ("digits-meta", "--task-updates=9", {"task_updates": 9}),
        ("temporal-modes", "--data.modes=four", {"data.modes": "four"}),
        ("temporal-modes", "--learner.kernel=median", {"learner.kernel": "median"}),
        (
            "temporal-modes",
            "--references.ml.learner.lr=0.01",
            {"references.ml.learner.lr": 0.01},
        ),
        ("nmnist-small", "--data.shots=5", {"data.shots": 5}),
        ("nmnist-convolutional", "--generator.maps=4", {"generator.maps": 4}),
        ("spiking-gan-mnist", "--data.side=14", {"data.side": 14}),
        ("spiking-gan-mnist", "--data.no-conditional", {"data.conditional": False}),
        ("ttfs-mnist", "--data.download", {"data.download": True}),
    ],
)
def test_options_reach_their_settings_and_no_others(name, option, changes, asked):
    assert experiment_of(asked, name, option) == RECIPES[name].vary(changes)


def test_options_of_several_values_reach_their_settings(asked):
    found = experiment_of(asked, "digits", "--discriminator.hidden", 64, 32)
    assert found.discriminator.hidden == (64, 32)


@pytest.mark.parametrize("name", ["digits", "temporal-modes", "nmnist-small", "spiking-gan-digits"])
def test_updates_are_those_of_all_arms(name, asked):
    found = experiment_of(asked, name, "--updates", 12)
    assert found == RECIPES[name].with_updates(12)
    assert {arm.learner.updates for arm in found.arms.values()} == {12}


def test_an_arm_can_have_a_length_of_its_own(asked):
    found = experiment_of(asked, "temporal-modes", "--learner.updates", 30)
    assert found.learner.updates == 30
    assert found.references["ml"].learner.updates == 1500


def test_the_data_are_found_by_a_short_option(asked):
    found = experiment_of(asked, "nmnist-small", "--data", "some/folder")
    assert found == RECIPES["nmnist-small"].vary({"data.path": "some/folder"})


def test_a_run_has_a_folder_of_its_recipe_and_seed(asked, tmp_path):
    command("train", "digits", "--seed", 4)
    assert str(asked.pop()[1]) == "runs/digits-seed4"
    command("train", "digits", "--out", tmp_path)
    assert asked.pop()[1] == tmp_path


def test_options_of_the_run_are_passed_on(asked):
    usual = {"resume": False, "force": False, "device": "cpu", "tensorboard": False, "progress": True}
    command("train", "digits")
    assert asked.pop()[2] == usual
    command("train", "digits", "--force", "--tensorboard", "--no-progress", "--device", "cuda")
    changed = {"force": True, "tensorboard": True, "progress": False, "device": "cuda"}
    assert asked.pop()[2] == {**usual, **changed}


@pytest.fixture
def folder(finished):
    return finished("digits")


def test_resuming_takes_the_settings_that_are_left_out_from_the_run(folder, asked):
    stored = runs.read_experiment(folder)
    assert experiment_of(asked, "digits", "--resume", "--out", folder) == stored
    assert stored != RECIPES["digits"]
    changed = experiment_of(asked, "digits", "--resume", "--learner.r1", 3.0, "--out", folder)
    assert changed == stored.vary({"learner.r1": 3.0})
    afresh = experiment_of(asked, "digits", "--force", "--out", folder)
    assert afresh == RECIPES["digits"]


def test_help_lists_every_plain_setting(capsys):
    assert command("train", "temporal-modes", "--help") == 0
    shown = capsys.readouterr().out
    recipe = RECIPES["temporal-modes"]
    for place, part in [
        ("data", recipe.data),
        ("generator", recipe.generator),
        ("learner", recipe.learner),
        ("evaluation", recipe.evaluation),
        ("references.ml.learner", recipe.references["ml"].learner),
    ]:
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                assert f"--{place}.{field.name.replace('_', '-')} " in shown
    assert "--name" not in shown


@pytest.mark.parametrize(
    "name", ["digits-bayes", "digits-meta", "temporal-modes", "nmnist-small", "spiking-gan-mnist"]
)
def test_help_is_plain_text(name, capsys):
    assert command("train", name, "--help") == 0
    shown = capsys.readouterr().out
    assert not [markup for markup in (":math:", ":py:", "\\", "see above") if markup in shown]


@pytest.mark.parametrize("words", [(), ("train", "digits"), ("reproduce",)])
def test_help_is_shown_in_the_narrowest_terminal(words):
    arguments = [sys.executable, "-m", "snn_gan_ext.cli", *words, "--help"]
    environment = {**os.environ, "COLUMNS": "5"}
    found = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert "usage: snn-gan-ext" in found.stdout


def test_recipes_are_listed_with_their_summaries(capsys):
    assert command("recipes") == 0
    listed = capsys.readouterr().out
    assert len(listed.splitlines()) == len(RECIPES)
    assert all(name in listed for name in RECIPES)


def test_the_version_is_printed(capsys):
    from snn_gan_ext import __version__

    assert command("--version") == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("digit",), "did you mean 'digits'"),
        (("digits-hybird",), "did you mean 'digits-hybrid'"),
        (("digits", "--updates", 0), "learner.updates: expected a whole number of at least 1, got 0"),
        (("digits", "--updates", -5), "updates"),
        (("digits", "--batch", 1), "batch"),
        (("digits", "--seed", -1), "seed: expected 0 .. 2^32 - 1, got -1"),
        (("digits", "--seed", 99999999999), "seed: expected 0 .. 2^32 - 1, got 99999999999"),
        (("digits", "--data.noise-fraction", "nan"), "data.noise_fraction: expected 0 .. 1, got nan"),
        (("digits", "--data.encoding", "grey"), "data.encoding: expected rate for trials of 5 steps"),
        (("digits", "--data", "x"), "--data: expected none for recipe 'digits'"),
        (("digits", "--data.num-steps", 0), "num_steps: expected a whole number"),
        (("digits", "--data.num-steps", 100_000_000_000), "num_steps"),
        (("digits", "--generator.hidden", -1), "hidden"),
        (("digits", "--generator.basis.window", -2), "window"),
        (("digits", "--generator.hidden-feedback", "nan"), "hidden_feedback"),
        (("digits", "--learner.generator-lr", "nan"), "generator_lr"),
        (("digits", "--learner.generator-lr", -1), "generator_lr"),
        (("digits", "--learner.r1", -1), "learner.r1: expected 0 or more, got -1.0"),
        (("digits", "--learner.schedule.end", -1), "learner.schedule.end: expected 0 or more"),
        (
            ("temporal-modes", "--references.ml.learner.lr", -1),
            "references.ml.learner.lr: expected 0 or more",
        ),
        (("digits", "--generator.basis.functions", 7), "generator.basis.functions: expected"),
        (("ttfs-digits", "--data.side", 9), "data.side: expected 8 for digits, got 9"),
        (("nmnist-small", "--data", ""), "--data: expected a path, got ''"),
        (("nmnist-small", "--data", "~nobody-at-all/x"), "--data: expected a home folder for ~"),
        (("digits", "--learner.real-target", 1.5), "real_target"),
        (("digits", "--discriminator.hidden", 0), "hidden"),
        (("digits", "--evaluation.synthetic-count", 5), "synthetic_count"),
        (("digits", "--device", "abacus"), "--device"),
        (("digits", "--device", "meta"), "--device"),
        (("digits", "--resume"), "expected a run folder"),
        (("digits", "--resume", "--force"), "one of them"),
        (("digits-bayes", "--batch", 12), "batch: expected a multiple of the 5 particles"),
    ],
)
def test_bad_settings_are_refused_in_one_line(arguments, says, capsys, tmp_path):
    assert says in refused(capsys, "train", *arguments, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Expected one of {train, fit, compare, reproduce, evaluate, sample, crosscheck, recipes}"),
        (("train",), "Missing from snn-gan-ext train: RECIPE; see snn-gan-ext train --help"),
        (("fly",), "Unrecognized options: fly; see snn-gan-ext --help"),
        (("sample",), "Missing from snn-gan-ext sample: RUN --out PATH; see"),
        (("train", "digits", "--stpes", "3"), "Unrecognized options: --stpes, 3; see"),
        (("train", "digits", "--lerner.r1", "3"), "--lerner.r1, 3; did you mean --learner.r1?"),
        (("train", "digits", "--batch", "many"), "--batch: expected a whole number, got 'many'; see"),
        (("train", "digits", "--learner.r1", "x"), "--learner.r1: expected a number, got 'x'; see"),
        (("train", "digits", "--learner.r1"), "Missing value for argument '--learner.r1'"),
        (
            ("train", "digits", "--learner.estimator", "guess"),
            "invalid choice 'guess' for argument '--learner.estimator'. Expected one of ('reinforce',",
        ),
        (("train", "digits", "--batch", "x" * 9999), "--batch: expected a whole number"),
    ],
)
def test_words_that_cannot_be_parsed_are_refused_in_one_line(
    arguments, says, encoding, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    error = refused(capsys, *arguments)
    assert error.startswith("snn-gan-ext: ")
    assert says in error
    assert len(error) < 700


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "digits", "--out", ""),
        ("evaluate", ""),
        ("sample", "", "--out", "x.npz"),
        ("sample", "x", "--out", ""),
        ("crosscheck", ""),
        ("evaluate", "x", "--data", ""),
        ("reproduce", "digits-spikes", "--out", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(arguments, capsys):
    assert "expected a path, got ''" in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("batch", expected="more", got="less"), 2, "batch: expected more, got less"),
        (FileNotFoundError(2, "No such file or directory", "x"), 2, "x: No such file"),
        (OSError(28, "No space left on device"), 1, "input or output: No space left"),
        (NonFiniteError("update 3: loss is nan"), 1, "update 3: loss is nan"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "memory: expected sizes that fit"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "memory"),
    ],
)
def test_failures_have_their_exit_code_and_one_line(error, code, says, monkeypatch, capsys):
    def train(*_, **__):
        raise error

    monkeypatch.setattr(runs, "train", train)
    assert command("train", "digits") == code
    message = capsys.readouterr().err
    assert message.startswith("snn-gan-ext: ")
    assert says in message
    assert message.count("\n") == 1


def test_errors_of_the_program_itself_are_not_hidden(monkeypatch):
    def train(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(runs, "train", train)
    with pytest.raises(RuntimeError, match="a bug"):
        command("train", "digits")


def test_a_reader_that_stops_early_is_no_error():
    arguments = [sys.executable, "-m", "snn_gan_ext.cli", "recipes"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    _, error = process.communicate()
    assert process.returncode == 1
    assert error == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [("recipes",), ("train", "digits", "--help")])
def test_a_full_device_is_a_failure_in_one_line(words):
    with Path("/dev/full").open("w") as full:
        arguments = [sys.executable, "-m", "snn_gan_ext.cli", *words]
        found = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "No space left on device" in found.stderr


def test_closed_output_is_no_error(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert command("recipes") == 0
    assert command("train", "digts") == 2


def test_names_that_the_output_cannot_encode_are_escaped(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    monkeypatch.setattr(samples, "sample", lambda *_: {"spikes": torch.zeros(2, 3, 4)})
    assert command("sample", "run", "--out", "\u00e9t\u00e9.npz") == 0
    assert shown.getvalue() == b"\\xe9t\\xe9.npz: spikes [2, 3, 4]\n"
