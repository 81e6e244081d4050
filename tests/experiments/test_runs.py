"""Run folders: complete, resumed bit for bit, never overwritten by accident, bound to their data."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save

import snn_gan_ext as sg
from snn_gan_ext import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.evaluation import Results
from snn_gan_ext.experiments.loop import Interrupted, NonFiniteError, read_metrics
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.digits import ImageEvaluation, RateCodedDigits
from snn_gan_ext.experiments.recipes.spiking_gan import GreyImageEvaluation
from snn_gan_ext.metrics import classifiers
from tests.experiments.helpers import SHORT, command, refused, scorecard, snapshot

DIGITS = RECIPES["digits"].vary({"seed": 3, "checkpoint_every": 15}).with_updates(40)
LOCK = ".lock"


def files(folder):
    return {name: content for name, content in snapshot(folder).items() if name != LOCK}


def test_a_run_leaves_everything_behind(finished):
    assert files(finished("digits")).keys() == {
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
    found = scorecard(finished("digits"))
    assert (found["recipe"], found["updates"], found["seed"]) == ("digits", 40, 3)
    assert found["seconds"] >= 0


def test_evaluate_finds_the_same_numbers_again_and_says_where_the_report_is(finished, capsys):
    folder = finished("temporal-modes")
    before = scorecard(folder)
    assert command("evaluate", folder) == 0
    assert scorecard(folder) == before
    assert capsys.readouterr().err.endswith(f"report: {folder / 'report.html'}\n")


def test_a_run_is_loaded_with_its_networks_its_experiment_and_its_data(finished):
    trainer = sg.load_run(finished("temporal-modes"))
    assert trainer.experiment.learner.updates == 6
    assert set(trainer.generators) == {"bayes", "spikegan", "ml"}
    assert trainer.generator is trainer.generators["bayes"]
    stored = load_file(finished("temporal-modes") / "generator.safetensors")
    weights = trainer.generators.state_dict()
    assert weights.keys() == stored.keys()
    assert all(torch.equal(weights[name], stored[name]) for name in weights)
    assert trainer.sample(3, torch.Generator().manual_seed(0))["spikes"].shape == (50, 3, 1)
    assert trainer.data.shape == (50, 1)


def test_a_loaded_run_draws_what_it_drew_after_training(tmp_path, monkeypatch):
    kept = {}

    def evaluate(self, trainer):
        kept["spikes"] = trainer.draw("spikegan", torch.arange(5), torch.Generator().manual_seed(0))
        return Results({})

    monkeypatch.setattr(ImageEvaluation, "evaluate", evaluate)
    runs.train(RECIPES["digits"].with_updates(2), tmp_path, progress=False)
    again = sg.load_run(str(tmp_path)).sample(torch.arange(5), torch.Generator().manual_seed(0))
    assert torch.equal(kept["spikes"], again["spikes"])


def test_an_interrupted_run_resumes_to_the_same_end(finished, tmp_path, monkeypatch, capsys):
    drawn, batch = [], RateCodedDigits.batch

    def interrupted_in_update_16(self, size, rng):
        drawn.append(size)
        if len(drawn) == 17:  # the first batch is the rehearsal's
            signal.raise_signal(signal.SIGINT)
        return batch(self, size, rng)

    monkeypatch.setattr(RateCodedDigits, "batch", interrupted_in_update_16)
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    out = ("--out", tmp_path, "--no-progress")
    options = (*SHORT["digits"].split(), *out)
    assert command("train", "digits", *options) == 128 + signal.SIGINT
    assert "after update 16; go on with --resume" in capsys.readouterr().err
    assert command("train", "digits", "--resume", *out) == 0
    assert len(drawn) == 1 + 40
    whole = finished("digits")
    resumed_weights, weights = (
        load_file(folder / "generator.safetensors") for folder in (tmp_path, whole)
    )
    assert resumed_weights.keys() == weights.keys()
    assert all(torch.equal(resumed_weights[name], weights[name]) for name in weights)
    assert (tmp_path / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_a_run_is_never_overwritten_by_accident(finished, capsys, tmp_path):
    run = finished("digits")
    before = files(run)
    for arguments, says in [
        ((), r"--resume.*--force"),
        (("--resume", "--updates", 50), r"learner.updates = 40.*got 50"),
        (("--resume", "--updates", 3000), "cannot be extended"),
        (("--resume", "--seed", 4), "seed = 3"),
        (("--resume", "--learner.r1", "0.5"), "learner.r1 = 1.0"),
    ]:
        error = refused(capsys, "train", "digits", "--out", run, *arguments)
        assert re.search(says, error), error
    other = refused(capsys, "train", "digits-hybrid", "--out", run, "--resume")
    assert "name = digits" in other
    file = tmp_path / "file"
    file.touch()
    assert "expected a folder" in refused(capsys, "train", "digits", "--out", file)
    assert files(run) == before


def test_only_one_process_writes_into_a_folder(finished, capsys):
    run = finished("digits")
    before = files(run)
    with runs.locked(run):
        for arguments in (("train", "digits", "--out", run, "--force"), ("evaluate", run)):
            assert "in which a run is going on" in refused(capsys, *arguments)
    assert files(run) == before


def test_force_takes_away_the_files_of_the_earlier_run_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    runs.train(DIGITS.with_updates(3), tmp_path, progress=False)
    for name in ("crosscheck.json", "crosscheck_spikegan.png", "notes.txt", "holiday.png"):
        (tmp_path / name).write_text("{}")
    runs.train(DIGITS.with_updates(2), tmp_path, force=True, progress=False)
    assert (tmp_path / "holiday.png").exists()
    assert "holiday" not in (tmp_path / "report.html").read_text()
    assert scorecard(tmp_path)["updates"] == 2
    assert [line["update"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 2]
    assert {"notes.txt"} == files(tmp_path).keys() & {"notes.txt", "crosscheck.json"}
    assert not (tmp_path / "crosscheck_spikegan.png").exists()


def test_force_takes_away_all_pictures_of_the_earlier_run(copied, monkeypatch):
    folder = copied("digits")
    names = {path.name for path in folder.glob("*.png")}
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    runs.train(DIGITS.with_updates(2), folder, force=True, progress=False)
    assert len(names) == 4
    assert {path.name for path in folder.glob("*.png")} == {"learning_curves.png"}


def test_a_picture_or_report_that_fails_loses_no_numbers(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("latex\ncould not be found")

    results = Results({"spikegan": {"tstr": 0.5}}, {"mine": fail})
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: results)
    monkeypatch.setattr(runs.report, "render", fail)
    found = runs.train(DIGITS.with_updates(2), tmp_path, progress=False)
    assert scorecard(tmp_path) == found
    assert found["samplers"]["spikegan"]["tstr"] == 0.5
    assert (tmp_path / "learning_curves.png").exists()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["warning", f" {tmp_path / name} is not written"] for name in ("mine.png", "report.html")
    ]
    assert lines[0].endswith("latex could not be found")


def test_ctrl_c_in_a_picture_is_no_failed_picture(tmp_path, monkeypatch):
    results = Results({}, {"mine": lambda: os.kill(os.getpid(), signal.SIGINT)})
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: results)
    with pytest.raises(Interrupted):
        runs.train(DIGITS.with_updates(2), tmp_path, progress=False)
    assert "samplers" in scorecard(tmp_path)


def test_force_throws_nothing_away_before_an_update_has_worked(finished, capsys, monkeypatch):
    run = finished("digits")
    before = files(run)

    def missing():
        raise InputError("tensorboard", expected="the package", got="none")

    with monkeypatch.context() as patch:
        patch.setattr(runs.loop, "require_tensorboard", missing)
        options = ("--out", run, "--force", "--tensorboard")
        assert "tensorboard" in refused(capsys, "train", "digits", *options)
    with monkeypatch.context() as patch:
        patch.setattr(sg.SpikeGAN, "update", lambda *_: {"loss": float("nan")})
        with pytest.raises(NonFiniteError, match="update 1: loss is nan"):
            runs.train(DIGITS, run, force=True)
    assert files(run) == before


def test_a_run_that_diverges_ends_with_1_and_says_how_to_go_on(tmp_path, capsys):
    """The discriminator becomes NaN; the generator's layers are the first to refuse its signal."""
    out = ("--no-progress", "--out", tmp_path / "run")
    assert command("train", "digits", "--updates=40", "--learner.discriminator-lr=9e9", *out) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "lower the learning rates or raise r1" in error


def test_resume_and_force_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="one of them"):
        runs.train(DIGITS, tmp_path / "new", resume=True, force=True)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_evaluation_writes_no_metrics(finished, monkeypatch, capsys):
    """scikit-learn would take the interrupt for an early end of its training."""
    run = finished("digits")
    before = files(run)

    def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(classifiers.MLP, "fit", interrupt)
    assert command("evaluate", run) == 128 + signal.SIGINT
    assert "while evaluating" in capsys.readouterr().err
    assert files(run) == before


def test_an_unfinished_run_is_finished_by_resuming_it(copied):
    folder = copied("temporal-modes")
    before = scorecard(folder)
    for name in ("metrics.json", "generator.safetensors"):
        (folder / name).unlink()
    killed = folder / ".checkpoint.pt.123.tmp"
    killed.touch()
    assert command("train", "temporal-modes", "--resume", "--no-progress", "--out", folder) == 0
    assert scorecard(folder)["samplers"] == before["samplers"]
    assert not killed.exists()


def changed(config, place, value):
    *path, name = place.split(".")
    part = config = json.loads(json.dumps(config))
    for key in path:
        part = part[key]
    part[name] = value
    return json.dumps(config).encode()


def test_damaged_runs_are_refused(finished, copied, capsys, tmp_path):
    run = finished("digits")
    config = json.loads((run / "config.json").read_text())
    weights = (run / "generator.safetensors").read_bytes()
    folder = copied("digits")
    for name, content, says in [
        ("config.json", b"{", "damaged"),
        ("config.json", b"[]", "JSON object"),
        ("config.json", b"[" * 100_000, "damaged"),
        ("config.json", changed(config, "recipe", "digits"), "before experiments were values"),
        ("config.json", changed(config, "name", "flowers"), "flowers"),
        ("config.json", changed(config, "name", []), "expected one of"),
        ("config.json", changed(config, "colour", 1), "colour"),
        ("config.json", changed(config, "generator.hidden", 5), "weights"),
        ("config.json", changed(config, "generator.hidden", "many"), "hidden"),
        ("config.json", changed(config, "learner.estimator", "foo"), "estimator"),
        ("config.json", changed(config, "evaluate_on", "trian"), "evaluate_on"),
        ("config.json", changed(config, "learner.updates", 41), "other settings"),
        ("config.json", changed(config, "learner.updates", 10**400), "updates"),
        ("generator.safetensors", weights[:100], "weights"),
        ("generator.safetensors", b"", "weights"),
    ]:
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        assert says in refused(capsys, "evaluate", folder)
        (folder / name).write_bytes(before)
    (folder / "generator.safetensors").unlink()
    assert "no generator.safetensors" in refused(capsys, "evaluate", folder)
    assert "no config.json" in refused(capsys, "evaluate", tmp_path)


def test_damaged_checkpoints_are_refused(copied, capsys):
    folder = copied("digits")
    checkpoint = (folder / "checkpoint.pt").read_bytes()
    for content in (b"", checkpoint[:500]):
        (folder / "checkpoint.pt").write_bytes(content)
        error = refused(capsys, "train", "digits", "--resume", "--no-progress", "--out", folder)
        assert "damaged" in error


def stored(folder):
    path = folder / "generator.safetensors"
    with safe_open(path, "pt") as file:
        return path, load(path.read_bytes()), file.metadata()


def test_weights_that_were_changed_are_refused(copied):
    path, weights, about = stored(copied("digits"))
    name = min(weights)
    for others, words in [
        ({**weights, name: weights[name] + 1e-3}, about),
        ({**weights, name: weights[name].double()}, about),
        (weights, {**about, "seconds": "soon"}),
        (weights, {key: text for key, text in about.items() if key != "sha256"}),
        (weights, None),
    ]:
        path.write_bytes(save(others, words))
        with pytest.raises(InputError, match="damaged weights"):
            sg.load_run(path.parent)
    path.write_bytes(save(weights, about))
    sg.load_run(path.parent)


def test_weights_that_were_changed_in_place_are_refused(copied):
    path, _, _ = stored(copied("digits"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
    with pytest.raises(InputError, match="damaged weights"):
        sg.load_run(path.parent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samplers", None),
        ("samplers", {"real": [1]}),
        ("samplers", {"real": {"tstr": "high"}}),
        ("pictures", "pca"),
        ("seed", "0"),
        ("seconds", None),
    ],
)
def test_a_scorecard_of_another_form_is_refused(copied, name, value):
    folder = copied("digits")
    found = scorecard(folder)
    (folder / "metrics.json").write_text(json.dumps({**found, name: value}))
    with pytest.raises(InputError, match="expected the scorecard of a run"):
        runs.read_metrics_json(folder)
    del found[name]
    (folder / "metrics.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="expected the scorecard of a run"):
        runs.read_metrics_json(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"passed": true}', '{"networks": 3, "passed": true}'])
def test_a_damaged_comparison_with_brian2_costs_the_report_alone(copied, content, capsys):
    folder = copied("temporal-modes")
    (folder / "crosscheck.json").write_text(content)
    before = scorecard(folder)
    capsys.readouterr()
    assert runs.evaluate(folder, progress=False) == before
    assert capsys.readouterr().err.count("\n") == 1


def test_a_damaged_scorecard_is_refused(copied):
    folder = copied("digits")
    assert runs.read_metrics_json(folder) == scorecard(folder)
    (folder / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        runs.read_metrics_json(folder)
    (folder / "metrics.json").unlink()
    with pytest.raises(InputError, match=r"no metrics\.json"):
        runs.read_metrics_json(folder)


def test_numbers_without_a_value_are_null_in_files(tmp_path, monkeypatch):
    rows = {"spikegan": {"tstr": float("nan"), "trts": float("inf"), "c2st": 1 / 3}}
    others = {"curve": [1 / 3, float("nan")]}
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: Results(rows, {}, others))
    found = runs.train(DIGITS.with_updates(2), tmp_path, progress=False)
    assert found["samplers"]["spikegan"] == {"tstr": None, "trts": None, "c2st": 0.3333}
    assert found["curve"] == [0.3333, None]
    assert scorecard(tmp_path) == found


@pytest.fixture(params=["ttfs-mnist", "spiking-gan-mnist-small"])
def moved(request, squares, tmp_path, monkeypatch):
    """A run whose data are in a new place."""
    folder, old, new = (tmp_path / name for name in ("run", "old.npz", "new.npz"))
    shutil.copy(squares, old)
    monkeypatch.setattr(GreyImageEvaluation, "monitor", lambda self, trainer: {})
    monkeypatch.setattr(
        GreyImageEvaluation,
        "evaluate",
        lambda self, trainer: Results(
            {"real": {"tstr": float(trainer.data.splits.test.images.mean())}}
        ),
    )
    options = ("--updates", 2, "--generator.hidden", 20, "--no-progress")
    assert command("train", request.param, *options, "--data", old, "--out", folder) == 0
    old.rename(new)
    return request.param, folder, old, new


def test_a_run_knows_its_data_in_another_place(moved, capsys):
    recipe, folder, old, new = moved
    before = scorecard(folder)
    capsys.readouterr()
    assert str(old) in refused(capsys, "evaluate", folder)
    assert command("evaluate", folder, "--data", new) == 0
    assert scorecard(folder) == before
    options = ("--resume", "--no-progress", "--data", new, "--out", folder)
    assert command("train", recipe, *options) == 0
    assert scorecard(folder) == before


def test_other_data_in_the_same_place_are_refused(moved, capsys):
    recipe, folder, old, new = moved
    with np.load(new) as found:
        images, labels = found["images"], found["labels"]
    images[[0, 1]] = images[[1, 0]]
    np.savez(old, images=images, labels=labels)
    capsys.readouterr()
    resume = ("train", recipe, "--resume", "--no-progress", "--out", folder)
    for arguments in (("evaluate", folder), resume):
        assert "expected the data that it learned from" in refused(capsys, *arguments)


@pytest.mark.parametrize("name", ["temporal-modes", "ttfs-digits"])
def test_a_recipe_that_reads_no_files_refuses_a_place_of_data(name, finished, squares, capsys):
    error = refused(capsys, "evaluate", finished(name), "--data", squares)
    assert "expected none for" in error


@pytest.mark.parametrize("device", ["cpu:3", torch.device("cpu")])
def test_a_run_is_loaded_onto_any_device_of_the_machine(finished, device):
    trainer = sg.load_run(finished("digits"), device)
    assert trainer.sample(torch.arange(3), torch.Generator().manual_seed(0))["spikes"].shape[1] == 3


@pytest.mark.parametrize("folder", [None, "", 3, b"run", "nul\0byte"])
def test_a_folder_that_is_no_path_is_refused(folder):
    for use in (sg.load_run, runs.evaluate, lambda folder: runs.train(DIGITS, folder)):
        with pytest.raises(InputError, match="expected a path"):
            use(folder)


def test_the_name_of_a_recipe_is_no_experiment(tmp_path):
    with pytest.raises(InputError, match=r"expected an Experiment, got 'digits'; take one from"):
        runs.train("digits", tmp_path)


def test_a_run_of_another_recipe_is_told_by_its_name_alone(finished, capsys):
    run = finished("digits")
    error = refused(capsys, "train", "temporal-modes", "--resume", "--out", run)
    assert "name = digits as in its config.json, got temporal-modes;" in error
    many = DIGITS.vary({"seed": 9, "batch": 9, "learner.r1": 9.0, "generator.hidden": 9})
    with pytest.raises(InputError, match=r"expected batch = [^=]* = [^=]* = [^=]* as in its config"):
        runs.train(many, run, resume=True)


def test_devices_are_those_of_the_machine():
    assert runs.device_named("cpu") == torch.device("cpu")
    for name in ("abacus", "meta", "cuda:99", "", None, 5):
        with pytest.raises(InputError, match="--device"):
            runs.device_named(name)


def test_an_experiment_of_no_recipe_is_refused_before_anything_is_written(tmp_path):
    stranger = RECIPES["digits"].vary({"name": "stranger", "learner.updates": 1})
    with pytest.raises(InputError, match="the name of a recipe"):
        runs.train(stranger, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_other_files_of_a_folder_without_a_run_stay(tmp_path):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "mine").write_text("x")
    (tmp_path / ".mine.tmp").write_text("x")
    with runs.locked(tmp_path), pytest.raises(InputError):
        runs.train(RECIPES["digits"].with_updates(1), tmp_path, progress=False)
    runs._clear(tmp_path, force=True)
    assert (tmp_path / "tensorboard" / "mine").exists()
    assert (tmp_path / ".mine.tmp").exists()


def test_settings_that_cannot_be_stored_leave_a_finished_run_alone(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    unstorable = RECIPES["digits"].vary({"learner.decode": lambda spikes: spikes.mean(0)})
    with pytest.raises(InputError, match="plain values"):
        runs.train(unstorable, tmp_path, force=True, progress=False)
    assert (tmp_path / "metrics.json").exists()
