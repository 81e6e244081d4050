"""The examples run and show what they claim."""

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from snn_gan_ext.experiments import recipes, runs

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *options):
    command = [sys.executable, str(EXAMPLES / name), *options]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # more threads slow these networks down
    return subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread).stdout


def test_a_layer_fires_the_same_step_by_step_and_in_one_call():
    assert "the same spikes: True" in run("sequential.py")


@pytest.mark.parametrize("library", ["norse", "spikingjelly"])
def test_a_layer_learns_in_models_of_other_libraries(library):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    said = run(f"{library}_layer.py")
    assert "step by step: [25, 5, 10]\nall learn: True\n" in said
    assert "in one call: [25, 5, 10]" in said
    assert "False" not in said


def test_particles_learn_for_a_few_updates():
    lines = run("firing_modes.py", "5").splitlines()
    assert lines[0].startswith("update 0: discriminator's loss 1.")
    assert [line.split(":")[0] for line in lines[1:]] == [f"particle {place}" for place in range(3)]


def test_digits_are_classified_after_either_way_of_learning():
    """Half the default's epochs; every line ends with an accuracy on the test digits."""
    lines = run("digits_classifier.py", "--epochs", "10").splitlines()
    accuracies = {name.strip(): float(value) for name, value in (li.split(":") for li in lines)}
    assert len(accuracies) == 3
    assert min(accuracies.values()) > 0.91, accuracies


def test_a_runaway_network_is_brought_back():
    rows = [line.split("|")[2:-1] for line in run("runaway.py").splitlines()[2:]]
    likelihood, penalised, moments = ([float(cell) for cell in row] for row in rows)
    assert likelihood[2] > 0.2  # divergence of the population count
    assert moments[2] < 0.06
    assert moments[3] < penalised[3] < likelihood[3]  # error of the correlograms


def test_a_model_of_snntorch_is_a_recipe_with_a_scorecard(tmp_path):
    model = runpy.run_path(str(EXAMPLES / "snntorch_generator.py"))["SnnTorchModel"]
    short = {
        "evaluation.synthetic_count": 100,
        "evaluation.copies": 1,
        "evaluation.classifier_updates": 1,
    }
    settings = {"name": "model", "generator": model(hidden=8), **short}
    recipe = recipes.RECIPES["digits-spikes-pooled"].vary(settings).with_updates(3)
    recipes.register(recipe, "a model of snnTorch", overwrite=True)
    assert runs.train(recipe, tmp_path, progress=False)["samplers"]["spikegan"]["tstr"] > 0
    assert runs.load_run(tmp_path).generator(recipe.data.labels(20)).shape == (16, 20, 64)
