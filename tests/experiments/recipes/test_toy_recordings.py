"""A data set of events in a format of its own is one short file; the whole command works with it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from snn_gan_ext import SyntheticEvents
from snn_gan_ext.coding.events import EVENT
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.recipes import RECIPES, SUMMARIES, _registered, register
from tests.experiments.helpers import command, pictures, refused, scorecard
from tests.experiments.recipes.toy_recordings import TOY

RECIPE = Path(__file__).with_name("toy_recordings.py")
QUICK = "--updates=3 --batch=30 --evaluation.synthetic-count=100 --evaluation.classifier-updates=20"


@pytest.fixture(scope="module")
def _registered_recipe():
    register(TOY, "SpikeGAN on toy gestures")
    yield
    for names in (SUMMARIES, _registered):
        names.pop(TOY.name)


@pytest.fixture(scope="module")
def gestures(tmp_path_factory):
    """20 recordings of each class: bars that move across the sensor."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("left", "right", "up")):
        (folder / name).mkdir()
        for number in range(20):
            events = np.zeros(200, EVENT)
            events["t"] = np.sort(rng.integers(0, 100_000, 200))
            events["x"], events["y"] = rng.integers(0, 12, 200), rng.integers(0, 8, 200)
            along = events["t"] / 100_000
            if name == "up":
                events["y"] = 8 * along
            else:
                events["x"] = 12 * along if name == "right" else 11 - 12 * along
            events["p"] = label == 1
            np.save(folder / name / f"{number}.npy", events)
    return folder


@pytest.fixture(scope="module")
def run(_registered_recipe, gestures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "toy"
    options = (*QUICK.split(), "--data", gestures, "--no-progress", "--out", folder)
    assert command("train", "toy-gestures", *options) == 0
    return folder


def test_a_new_event_recipe_and_its_loader_take_at_most_40_lines():
    assert len(RECIPE.read_text().splitlines()) <= 40


def test_it_is_trained_and_evaluated(run):
    rows = scorecard(run)["samplers"]
    assert list(rows) == ["real", "class_means", "kmeans", "spikegan", "ml"]
    assert rows["real"]["tstr"] > 0.9
    assert pictures(run) == {"frames", "time_surfaces", "learning_curves"}
    assert "SpikeGAN on toy gestures" in (run / "report.html").read_text()


def test_its_samples_have_the_sensors_size(run, tmp_path):
    out = tmp_path / "samples.npz"
    assert command("sample", run, "--n", 6, "--out", out) == 0
    drawn = np.load(out)
    assert drawn["spikes"].shape == (10, 6, 2, 8, 12)
    assert drawn["labels"].tolist() == [0, 1, 2, 0, 1, 2]
    assert command("sample", run, "--n", 6, "--format", "nmnist", "--out", tmp_path / "files") == 0
    assert len(list((tmp_path / "files").glob("Train/2/*.bin"))) == 2
    assert SyntheticEvents(run, 3).sensor_size == (12, 8, 2)


def test_it_knows_its_data_by_their_content(run, gestures, tmp_path, capsys):
    same, other = (
        shutil.copytree(gestures, tmp_path / place / gestures.name) for place in ("same", "other")
    )
    shutil.copy(other / "up" / "0.npy", other / "up" / "1.npy")
    before = scorecard(run)["samplers"]
    assert command("evaluate", run, "--data", same) == 0
    assert scorecard(run)["samplers"] == before
    capsys.readouterr()
    assert "the data that it learned from" in refused(capsys, "evaluate", run, "--data", other)


def test_it_is_listed_and_loaded(run, capsys):
    assert command("recipes") == 0
    assert "toy-gestures" in capsys.readouterr().out
    assert runs.load_run(run).experiment.name == "toy-gestures"
    assert "toy-gestures" in RECIPES
