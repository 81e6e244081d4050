"""The command, end to end, on a run of a few steps."""

import json
import os
import re
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from snn_gan_ext import InputError, cli
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.papers import REPRODUCTIONS
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.base import Results
from snn_gan_ext.experiments.recipes.digits import DigitsExperiment

KEYS = {
    "tstr",
    "trts",
    "real_accuracy",
    "class_mean_tstr",
    "kmeans_tstr",
    "energy_distance",
    "c2st",
    "within_class_variance_ratio",
    "steps",
    "train_seconds",
    "seed",
}


def command(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; most of its time is the evaluation."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert command("train", "digits", "--steps", 40, "--seed", 3, "--out", folder) == 0
    return folder


def test_a_run_leaves_everything_behind(run):
    expected = {
        "config.json",
        "checkpoint.pt",
        "metrics.json",
        "metrics.jsonl",
        "generator.safetensors",
        "report.html",
        "samples.png",
        "pca.png",
        "raster.png",
        "learning_curves.png",
    }
    assert {path.name for path in run.iterdir()} == expected
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() >= KEYS
    assert metrics["steps"] == 40
    assert metrics["seed"] == 3
    assert 0.9 < metrics["real_accuracy"] <= 1
    assert 0.8 < metrics["class_mean_tstr"] < metrics["kmeans_tstr"]
    assert metrics["tstr"] < metrics["class_mean_tstr"], "40 steps teach next to nothing"
    assert metrics["c2st"] > metrics["class_mean_c2st"] > metrics["kmeans_c2st"] > 0.5


def test_the_report_is_one_self_contained_page(run):
    page = (run / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "tstr" in page


def test_evaluate_finds_the_same_numbers_again(run):
    before = json.loads((run / "metrics.json").read_text())
    assert command("evaluate", run) == 0
    assert json.loads((run / "metrics.json").read_text()) == before


def test_sample_writes_spikes_of_the_label_and_the_seed(run, tmp_path):
    files = [tmp_path / f"{name}.npz" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        assert command("sample", run, "--n", 12, "--label", 4, "--seed", seed, "--out", file) == 0
    a, b, c = (np.load(file) for file in files)
    assert a["spikes"].shape == (5, 12, 64)
    assert a["spikes"].dtype == np.uint8
    assert set(np.unique(a["spikes"])) == {0, 1}
    assert (a["labels"] == 4).all()
    np.testing.assert_allclose(a["images"], a["spikes"].mean(0), atol=1e-6)
    assert np.array_equal(a["spikes"], b["spikes"])
    assert not np.array_equal(a["spikes"], c["spikes"])


def test_an_interrupted_run_resumes_to_the_same_end(run, tmp_path, monkeypatch, capsys):
    taken, next_batch = [], DigitsExperiment.next_batch

    def interrupted_at_15(self, rng):
        taken.append(self.state.step)
        if self.state.step == 15:
            signal.raise_signal(signal.SIGINT)
        return next_batch(self, rng)

    monkeypatch.setattr(DigitsExperiment, "next_batch", interrupted_at_15)
    monkeypatch.setattr(DigitsExperiment, "evaluate", lambda self: Results({}, {}))
    out = ("--out", tmp_path)
    assert command("train", "digits", "--steps", 40, "--seed", 3, *out) == 128 + signal.SIGINT
    assert "after step 16; go on with --resume" in capsys.readouterr().err
    taken.clear()
    assert command("train", "digits", "--resume", *out) == 0
    assert taken == list(range(16, 40))
    resumed, whole = (load_file(folder / "generator.safetensors") for folder in (tmp_path, run))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert (tmp_path / "metrics.jsonl").read_text() == (run / "metrics.jsonl").read_text()


@pytest.mark.parametrize("experiment", REPRODUCTIONS)
def test_every_reproduction_is_a_command(experiment, tmp_path, capsys):
    assert cli.main(["reproduce", experiment, "--seeds", "0", "--out", str(tmp_path)]) == 2
    assert "--seeds" in capsys.readouterr().err


def test_recipes_are_listed(capsys):
    assert command("recipes") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES)


def expect_refusal(capsys, *arguments, says):
    """Exit code 2, one line that says so, and nothing on standard output."""
    assert command(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert re.search(says, captured.err), captured.err


def test_bad_words_are_refused_in_one_line(capsys, tmp_path):
    out = ("--out", tmp_path / "new")
    for arguments, says in [
        (("train", "digit"), "did you mean 'digits'"),
        (("train", "digits-hybird"), "did you mean 'digits-hybrid'"),
        (("train", "digits", "--steps", 0), "steps: expected a whole number of at least 1, got 0"),
        (("train", "digits", "--steps", -5), "steps"),
        (("train", "digits", "--batch", 1), "batch"),
        (("train", "digits", "--seed", -1), "seed"),
        (("train", "digits", "--time-steps", 0), "steps: expected a whole number"),
        (("train", "digits", "--hidden", -1), "hidden"),
        (("train", "digits", "--generator-lr", "nan"), "generator_lr"),
        (("train", "digits", "--generator-lr", "-1"), "generator_lr"),
        (("train", "digits", "--r1", "-1"), "r1"),
        (("train", "digits", "--real-target", "1.5"), "real_target"),
        (("train", "digits", "--discriminator-hidden", "0"), "discriminator"),
        (("train", "digits", "--synthetic-count", "5"), "synthetic_count"),
        (("train", "digits", "--device", "abacus"), "--device"),
        (("train", "digits", "--device", "meta"), "--device"),
        (("train", "digits", "--discriminator-layers", "-2"), "discriminator_layers"),
        (("train", "digits", "--latent-hidden-scale", "nan"), "latent_hidden_scale"),
        (("train", "digits", "--time-steps", "100000000000"), "time_steps"),
        (("train", "digits", "--resume"), "expected a run folder"),
        (("train", "digits", "--resume", "--force"), "one of them"),
    ]:
        expect_refusal(capsys, *arguments, *out, says=says)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [(), ("train",), ("fly",), ("train", "digits", "--stpes", "3")])
def test_unparsable_words_exit_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        command(*arguments)
    assert caught.value.code == 2


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_never_overwritten_by_accident(run, capsys, tmp_path):
    before = snapshot(run)
    for arguments, says in [
        ((), "--resume.*--force"),
        (("--resume", "--steps", 50), "steps = 40"),
        (("--resume", "--steps", 3000), "steps = 40.*cannot be extended"),
        (("--resume", "--seed", 4), "seed = 3"),
    ]:
        expect_refusal(capsys, "train", "digits", "--out", run, *arguments, says=says)
    expect_refusal(capsys, "train", "digits-hybrid", "--out", run, "--resume", says="recipe = digits,")
    file = tmp_path / "file"
    file.touch()
    expect_refusal(capsys, "train", "digits", "--out", file, says="expected a folder")
    assert snapshot(run) == before


def test_what_cannot_work_fails_before_force_throws_anything_away(run, capsys, monkeypatch):
    before = snapshot(run)

    def missing():
        raise InputError("tensorboard", expected="the package", got="none")

    monkeypatch.setattr(runs, "require_tensorboard", missing)
    arguments = ("train", "digits", "--out", run, "--force", "--tensorboard")
    expect_refusal(capsys, *arguments, says="tensorboard")
    assert snapshot(run) == before


def test_ctrl_c_while_judging_writes_no_metrics(run, monkeypatch, capsys):
    """scikit-learn would take the interrupt for an early end of its training."""
    before = snapshot(run)

    def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(classifiers, "fit_classifier", interrupt)
    assert command("evaluate", run) == 128 + signal.SIGINT
    assert "while judging" in capsys.readouterr().err
    assert snapshot(run) == before


def test_damaged_runs_are_refused(run, capsys, tmp_path):
    def copy(**changes):
        folder = tmp_path / "copy"
        folder.mkdir(exist_ok=True)
        for name, content in {**snapshot(run), **changes}.items():
            (folder / name).write_bytes(content)
        return folder

    config = json.loads((run / "config.json").read_text())
    weights = (run / "generator.safetensors").read_bytes()
    for name, content, says in [
        ("config.json", b"{", "damaged"),
        ("config.json", b"[]", "JSON object"),
        ("config.json", json.dumps({**config, "recipe": "flowers"}).encode(), "flowers"),
        ("config.json", json.dumps({**config, "colour": 1}).encode(), "colour"),
        ("config.json", json.dumps({**config, "hidden": 5}).encode(), "weights"),
        ("config.json", json.dumps({**config, "hidden": "many"}).encode(), "hidden"),
        ("config.json", json.dumps({**config, "estimator": "foo"}).encode(), "estimator"),
        ("config.json", json.dumps({**config, "evaluate_on": "trian"}).encode(), "evaluate_on"),
        ("config.json", json.dumps({**config, "steps": 41}).encode(), "other settings"),
        ("config.json", json.dumps({**config, "steps": 10**400}).encode(), "steps"),
        ("config.json", json.dumps({**config, "recipe": []}).encode(), "expected one of"),
        ("generator.safetensors", weights[:100], "weights"),
        ("generator.safetensors", b"", "weights"),
    ]:
        expect_refusal(capsys, "evaluate", copy(**{name: content}), says=says)
    checkpoint = (run / "checkpoint.pt").read_bytes()
    for content in (b"", checkpoint[:500]):
        folder = copy(**{"checkpoint.pt": content})
        expect_refusal(capsys, "train", "digits", "--resume", "--out", folder, says="damaged")
    (folder / "generator.safetensors").unlink()
    expect_refusal(capsys, "evaluate", folder, says="no generator.safetensors")
    expect_refusal(capsys, "evaluate", tmp_path, says="no config.json")


def test_bad_samples_are_refused(run, capsys, tmp_path):
    out = ("--out", tmp_path / "x.npz")
    for arguments, says in [
        (("--n", 0, *out), "--n"),
        (("--label", 10, *out), "label.*0 .. 9"),
        (("--label", -1, *out), "label"),
        (("--out", tmp_path / "x.txt"), ".npz"),
        (("--out", tmp_path / "no" / "x.npz"), "existing folder"),
        (("--seed", -1, *out), "seed"),
    ]:
        expect_refusal(capsys, "sample", run, *arguments, says=says)
    assert not (tmp_path / "x.npz").exists()
