"""Every recipe trains; an experiment's networks and random sources are those of its seed."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from snn_gan_ext import InputError
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.single_neuron import SingleNeuronData
from snn_gan_ext.experiments.trainer import build, fitting

CPU = torch.device("cpu")
CLASSIFIERS = [name for name in RECIPES if name.startswith("ttfs")]
GENERATORS = [name for name in RECIPES if name not in CLASSIFIERS]


def modules(state):
    parts = getattr(state, "states", {})
    found = {name: part for name, part in vars(state).items() if isinstance(part, nn.Module)}
    for name, part in parts.items():
        found |= {f"{name} {key}": module for key, module in modules(part).items()}
    return found


def weights(state):
    return {name: nn.utils.parameters_to_vector(m.parameters()) for name, m in modules(state).items()}


@pytest.fixture
def built(location):
    """Builds a recipe for data of few trials, with nothing in its caches."""

    def build_small(name, **changes):
        experiment = RECIPES[name].vary(changes)
        experiment = experiment.vary({"data": replace(experiment.data)})
        if isinstance(experiment.data, SingleNeuronData):
            experiment = experiment.vary({"data.trials": 60, "data.num_steps": 60})
        place = location(name)
        return build(experiment.with_data(place[1]) if place else experiment, CPU)

    return build_small


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_all_its_networks_and_can_be_sampled(name, built, rng):
    # Meta-learning begins with the second task.
    trainer = built(name, **({"task_updates": 1} if name == "digits-meta" else {}))
    trainer.prepare()
    before = weights(trainer.state)
    for update in (1, 2):
        found = trainer.algorithm.update(trainer.state, trainer.next_batch(trainer.state.rng))
        assert trainer.state.updates == update
        assert found
        assert all(map(math.isfinite, found.values()))
    after = weights(trainer.state)
    assert len(after) >= len(trainer.generators)
    assert not [part for part in before if torch.equal(before[part], after[part])]

    labels = trainer.data.labels(20)
    if name in CLASSIFIERS:
        with pytest.raises(InputError, match="a run with a generator"):
            trainer.experiment.evaluation.sample(trainer, labels, rng)
        return
    drawn = trainer.experiment.evaluation.sample(trainer, labels, rng)
    steps, *sizes = trainer.data.shape
    assert drawn["spikes"].shape[1:] == (20, *sizes)
    assert len(drawn["spikes"]) == steps or name.startswith("spiking-gan")
    assert set(drawn["spikes"].unique().tolist()) <= {0, 1}
    assert ("labels" in drawn) == (trainer.data.classes > 0)
    if "labels" in drawn:
        assert torch.equal(drawn["labels"], labels)


@pytest.mark.parametrize("name", ["digits", "digits-meta", "temporal-modes", "spiking-gan-digits"])
def test_weights_are_those_of_the_seed(name, built):
    one, same, other = (weights(built(name, seed=seed).state) for seed in (0, 0, 1))
    assert all(torch.equal(one[part], same[part]) for part in one)
    assert not any(torch.equal(one[part], other[part]) for part in one)


def test_arms_have_initial_weights_of_their_own_unless_the_experiment_shares_them(built):
    shared = list(weights(built("ttfs-digits").state).values())
    assert torch.equal(*shared)
    assert not torch.equal(*weights(built("ttfs-digits", same_weights=False).state).values())


def test_random_sources_differ_by_seed_and_by_role(built):
    def first(seed, role):
        return float(torch.rand(1, generator=built("digits", seed=seed).stream(role)))

    drawn = {(seed, role): first(seed, role) for seed in (0, 1, 2) for role in ("monitor", "synthetic")}
    assert len(set(drawn.values())) == len(drawn)
    assert first(1, "monitor") == drawn[1, "monitor"]


def test_all_arms_learn_from_the_same_batches(built, monkeypatch):
    trainer = built("spiking-gan-digits")
    received = []
    for name, learner in trainer.algorithm.algorithms.items():

        def update(state, batch, name=name):
            received.append((name, batch))
            return {}

        monkeypatch.setattr(type(learner), "update", lambda self, *given, update=update: update(*given))
    trainer.algorithm.update(trainer.state, trainer.next_batch(trainer.state.rng))
    assert len(received) == 2
    assert received[0][1] is received[1][1]


def test_samples_repeat_by_their_random_source_and_need_no_data(built):
    trainer = built("digits")
    labels = torch.tensor([3, 1, 4])
    one, same, other = (trainer.sample(labels, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one["spikes"], same["spikes"])
    assert not torch.equal(one["spikes"], other["spikes"])
    assert "splits" not in vars(trainer.data)


def test_ensembles_name_the_member_that_draws_each_trial(built, rng):
    drawn = built("digits-bayes").sample(torch.arange(20) % 10, rng)
    assert set(drawn["particles"].tolist()) == set(range(5))
    assert set(built("temporal-modes").sample(20, rng)) == {"spikes", "particles"}


def test_an_experiment_draws_by_its_own_generator(built):
    trainer = built("nmnist-small")
    labels = torch.arange(10)

    def drawn(draw):
        return draw(labels, torch.Generator().manual_seed(0))

    own = drawn(trainer.sample)["spikes"]
    assert torch.equal(own, drawn(lambda *given: trainer.draw("spikegan", *given)))
    assert not torch.equal(own, drawn(lambda *given: trainer.draw("ml", *given)))


@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("digits", ["spikegan"]),
        ("digits-bayes", [f"bayes {k}" for k in range(5)]),
        ("temporal-modes", [*(f"bayes {k}" for k in range(5)), "spikegan", "ml"]),
        ("digits-meta", ["generator"]),
        ("spiking-gan-digits", []),
        ("ttfs-digits", []),
    ],
)
def test_generators_of_glm_layers_are_found(name, networks, built):
    assert list(built(name).glm_networks()) == networks


def test_settings_are_checked_before_anything_is_built():
    with pytest.raises(InputError, match="hidden"):
        build(RECIPES["digits"].vary({"generator.hidden": -1}), CPU)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("digits", {"discriminator": None}),
        ("digits", {"generator": RECIPES["ttfs-digits"].generator}),
        ("digits", {"generator": RECIPES["nmnist-convolutional"].generator}),
        ("digits", {"generator": RECIPES["nmnist-small"].generator}),
        ("digits", {"learner": RECIPES["spiking-gan-digits"].learner}),
        ("digits", {"data": RECIPES["digits-meta"].data}),
        ("digits-spikes-ml", {"discriminator": RECIPES["digits"].discriminator}),
        ("digits-spikes-ml", {"generator": RECIPES["digits-bayes"].generator}),
        ("digits-meta", {"discriminator": None}),
        ("digits-meta", {"learner": RECIPES["digits"].learner}),
        ("digits-meta", {"data": RECIPES["digits"].data}),
        ("temporal-modes", {"data": RECIPES["digits"].data}),
        ("spiking-gan-digits", {"data": RECIPES["ttfs-digits"].data}),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(name, changes, tmp_path):
    with pytest.raises(InputError) as caught:
        runs.train(RECIPES[name].vary(changes), tmp_path / "run", progress=False)
    assert "\n" not in f"{caught.value}"
    assert not (tmp_path / "run").exists()


def test_the_cause_of_parts_that_do_not_fit_is_kept():
    with pytest.raises(InputError, match="fit each other, got KeyError: 'x'") as caught, fitting():
        {}["x"]
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(RuntimeError), fitting():
        raise RuntimeError("a bug")


def test_the_data_are_found_anew_for_every_run(squares, recordings, tmp_path, monkeypatch):
    pytest.importorskip("tonic", reason="tonic is not installed")
    place = tmp_path / "mnist" / "mnist8k.npz"
    place.parent.mkdir()
    shutil.copy(squares, place)
    shutil.copytree(recordings, tmp_path / "nmnist-small")
    for name in ("spiking-gan-mnist-small", "nmnist-small"):
        monkeypatch.setenv("SNN_GAN_EXT_DATA", str(tmp_path))
        build(RECIPES[name], CPU).data.load()
        monkeypatch.setenv("SNN_GAN_EXT_DATA", str(tmp_path / "elsewhere"))
        with pytest.raises(InputError, match="elsewhere"):
            build(RECIPES[name], CPU).data.load()
