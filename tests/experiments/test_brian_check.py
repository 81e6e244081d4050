"""The command that compares a trained run with Brian2: what passes, what fails, what is written."""

import json

import pytest

from snn_gan_ext import InputError, plots
from snn_gan_ext.brian import equivalence, network
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.brian_check import crosscheck_run
from snn_gan_ext.experiments.evaluation import Results
from snn_gan_ext.experiments.recipes.digits import ImageEvaluation
from tests.experiments.helpers import command, refused, scorecard

brian2 = pytest.importorskip("brian2", reason="brian2 is not installed")

NETWORKS = ["bayes 0", "bayes 1", "spikegan", "ml"]


@pytest.fixture(autouse=True)
def _numpy_target():
    brian2.prefs.codegen.target = "numpy"


def test_every_neuron_is_checked_and_shown(copied, capsys):
    run = copied("temporal-modes")
    before = scorecard(run)
    assert command("crosscheck", run, "--trials", 20) == 0
    found = json.loads((run / "crosscheck.json").read_text())
    assert list(found["networks"]) == NETWORKS
    assert found["passed"]
    assert all(checked["mismatches"] == {"readout": 0} for checked in found["networks"].values())
    shown = capsys.readouterr().out
    assert "bayes 1: 0 mismatched spikes" in shown
    assert "passed: 4 of 4" in shown
    assert (run / "crosscheck_bayes_1.png").stat().st_size > 10_000
    assert "mismatched spikes" in (run / "report.html").read_text()

    # The weights are still the same: an evaluation keeps the comparison.
    assert command("evaluate", run) == 0
    page = (run / "report.html").read_text()
    assert "All checks passed" in page
    assert 'alt="crosscheck_ml"' in page
    assert 'alt="rasters_over_training"' in page
    assert scorecard(run) == before


def test_a_check_that_fails_is_exit_code_1(copied, monkeypatch, capsys):
    run = copied("temporal-modes")
    monkeypatch.setattr(equivalence, "mismatches", lambda ours, brian: {"readout": 3})
    monkeypatch.setattr(equivalence, "compare", lambda *_, **__: [])
    monkeypatch.setattr(equivalence, "free_run", lambda generator, *_: equivalence_runs(generator))
    assert command("crosscheck", run, "--trials", 20) == 1
    assert not json.loads((run / "crosscheck.json").read_text())["passed"]
    assert "a check failed: bayes 0" in capsys.readouterr().err
    assert "A check failed" in (run / "report.html").read_text()


def equivalence_runs(generator):
    """Two free runs of ours, in place of Brian2's."""
    import torch

    drawn = generator(20, torch.Generator().manual_seed(0))
    return drawn, drawn


def test_synapses_that_two_of_ten_classes_alone_have_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageEvaluation, "evaluate", lambda self, trainer: Results({}))
    monkeypatch.setattr(ImageEvaluation, "monitor", lambda self, trainer: {})
    quick = ("--updates", 2, "--generator.hidden", 8, "--no-progress", "--out", tmp_path)
    assert command("train", "digits", *quick) == 0
    monkeypatch.setattr(equivalence, "compare", lambda *_, **__: [])  # the replay alone decides
    check = ("crosscheck", tmp_path, "--trials", 20)
    assert command(*check) == 0

    stages = network._stages

    def without_8_and_9(glm, exogenous):
        found = stages(glm, exogenous)
        for stage in found.values():
            stage.synaptic["label"][:, 8:10] = 0
        return found

    monkeypatch.setattr(network, "_stages", without_8_and_9)
    assert command(*check) == 1


def test_a_run_that_another_process_writes_is_refused(copied, capsys):
    run = copied("temporal-modes")
    with runs.locked(run):
        assert "a run is going on" in refused(capsys, "crosscheck", run, "--trials", 20)
    assert not (run / "crosscheck.json").exists()


def test_numbers_are_kept_where_a_picture_fails(copied, monkeypatch, capsys):
    run = copied("temporal-modes")

    def fail(figure, path):
        raise RuntimeError("latex could not be found")

    monkeypatch.setattr(plots, "save", fail)
    monkeypatch.setattr(equivalence, "compare", lambda *_, **__: [])
    assert command("crosscheck", run, "--trials", 20) == 0
    assert json.loads((run / "crosscheck.json").read_text())["passed"]
    assert "crosscheck_ml.png is not written: latex could not be found" in capsys.readouterr().err


def test_bad_input_is_one_line(finished, tmp_path, capsys):
    run = finished("temporal-modes")
    for arguments in (("--trials", 3), ("--seed", -1)):
        assert arguments[0] in refused(capsys, "crosscheck", run, *arguments)
    assert "expected a run folder" in refused(capsys, "crosscheck", tmp_path)
    for options in ({"replayed": 0}, {"false_alarm": 1.0}):
        with pytest.raises(InputError, match=next(iter(options))):
            crosscheck_run(run, **options)


def test_runs_without_glm_layers_are_refused(finished, capsys):
    assert "GLM layers" in refused(capsys, "crosscheck", finished("ttfs-digits"))
