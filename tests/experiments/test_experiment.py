"""Experiments are values: they vary, compare, and survive a round trip through a file."""

import json
from dataclasses import dataclass, replace

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import PooledRates, TimeSurface
from snn_gan_ext.experiments.components import MLP, Basis, Data
from snn_gan_ext.experiments.recipes import CATALOGUE, RECIPES, SUMMARIES
from snn_gan_ext.types import Schedule

DIGITS = RECIPES["digits"]


def stored(experiment):
    """The experiment as a file keeps it."""
    return json.loads(json.dumps(experiment.to_config()))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_its_name_its_summary_and_valid_settings(name):
    assert RECIPES[name].name == name
    assert SUMMARIES[name]
    RECIPES[name].check()


def test_the_catalogue_lists_the_recipes_of_each_module():
    from importlib import import_module

    for module, names in CATALOGUE.items():
        found = import_module(f"snn_gan_ext.experiments.recipes.{module}").RECIPES
        assert [recipe.name for recipe in found] == list(names)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_the_round_trip_through_a_file(name):
    assert RECIPES[name].from_config(stored(RECIPES[name])) == RECIPES[name]


def test_variants_survive_it_with_components_of_other_types():
    ml = RECIPES["digits-spikes-ml"]
    for experiment, like in [
        (DIGITS.vary({"learner.decode": TimeSurface(decay=3.0), "generator.hidden": 7}), DIGITS),
        (DIGITS.vary({"learner": MaximumLikelihood(), "discriminator": None}), DIGITS),
        (ml.vary({"learner": SpikeGAN(decode=PooledRates()), "discriminator": MLP()}), ml),
        (DIGITS.vary({"generator": RECIPES["digits-bayes"].generator}), DIGITS),
        (DIGITS.vary({"generator.basis": Basis(kind="identity"), "batch": 50}), DIGITS),
        (DIGITS.vary({"references": {"ml": RECIPES["nmnist-small"].references["ml"]}}), DIGITS),
    ]:
        assert experiment != like
        assert like.from_config(stored(experiment)) == experiment


def test_variants_change_the_named_settings_alone():
    varied = DIGITS.vary({"seed": 3, "learner.r1": 0.5, "learner.schedule.end": 0.2})
    assert DIGITS.seed == 0
    assert (varied.seed, varied.learner.r1, varied.learner.schedule.end) == (3, 0.5, 0.2)
    assert varied.vary(
        {"seed": 0, "learner.r1": DIGITS.learner.r1, "learner.schedule": Schedule()}
    ) == (DIGITS)


@pytest.mark.parametrize("name", ["learner.r2", "learner.r1.x", "colour", "references.ml.learner.lr"])
def test_unknown_settings_cannot_be_varied(name):
    with pytest.raises(InputError, match="setting: expected one of"):
        DIGITS.vary({name: 1})


def test_variants_are_checked_by_their_components():
    with pytest.raises(InputError, match="r1: expected 0 or more, got -1"):
        DIGITS.vary({"learner.r1": -1.0})


@pytest.mark.parametrize("name", RECIPES)
def test_the_length_of_a_run_is_that_of_all_arms(name):
    experiment = RECIPES[name].with_updates(17)
    assert experiment.updates == 17
    assert {arm.learner.updates for arm in experiment.arms.values()} == {17}


@pytest.mark.parametrize("name", RECIPES)
def test_the_experiments_own_arm_comes_first_and_has_its_parts(name):
    recipe = RECIPES[name]
    arms = recipe.arms
    assert list(arms) == [recipe.label, *recipe.references]
    assert arms[recipe.label].generator is recipe.generator
    assert arms[recipe.label].learner is recipe.learner


READ_FROM_FILES = [name for name in RECIPES if "mnist" in name]


@pytest.mark.parametrize("name", READ_FROM_FILES)
def test_the_identity_of_an_experiment_leaves_out_where_its_data_are(name):
    recipe = RECIPES[name]
    moved = recipe.with_data("elsewhere").vary({"data.download": True})
    assert moved != recipe
    assert moved.to_config() != recipe.to_config()
    assert moved.identity() == recipe.identity()


@pytest.mark.parametrize("name", RECIPES)
def test_the_identity_holds_every_other_setting(name):
    recipe = RECIPES[name]
    for changes in ({"seed": 1}, {"learner.updates": 7}, {"label": "other"}, {"batch": 8}):
        assert recipe.vary(changes).identity() != recipe.identity()


@pytest.mark.parametrize("name", [name for name in RECIPES if "-mnist" not in name][:3])
def test_data_that_are_not_read_from_files_have_no_location(name):
    with pytest.raises(InputError, match=f"--data: expected none for recipe '{name}'"):
        RECIPES[name].with_data("elsewhere")


def changed(place, value):
    """Settings of the digits recipe from a file in which one is another."""
    config = stored(DIGITS)
    *path, name = place.split(".")
    part = config
    for key in path:
        part = part[key]
    part[name] = value
    return config


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("seed", True, "seed: expected int, got True"),
        ("seed", -1, "seed: expected 0 .. "),
        ("batch", 1, "batch: expected a whole number of at least 2"),
        ("label", 3, "label: expected str"),
        ("evaluate_on", "trian", "evaluate_on: expected one of validation, test"),
        ("data", None, "data: expected Data, got None"),
        ("data", {"type": "MLP"}, "expected the settings of MLP"),
        ("data", {"type": "Data"}, "expected one of"),
        ("generator", {}, "generator: expected GeneratorSettings"),
        ("generator.hidden", "many", "generator.hidden: expected int"),
        ("generator.hidden", 10**400, "generator.hidden: expected a finite number"),
        ("generator.hidden_feedback", float("nan"), "hidden_feedback: expected a finite number"),
        ("generator.latent_scale", [0.5], "latent_scale: expected tuple"),
        ("generator.latent_scale", ["a", "b"], "latent_scale: expected tuple"),
        ("generator.basis", None, "generator.basis: expected Basis"),
        ("generator.basis.kind", "square", "basis.kind: expected one of exponential"),
        ("generator.basis.window", 0, "window: expected a whole number from 1"),
        ("discriminator.hidden", 256, "discriminator.hidden: expected tuple"),
        ("learner", 5, "learner: expected .*got 5"),
        ("learner", {"type": "Gradient"}, "expected one of .*SpikeGAN.*got 'Gradient'"),
        ("learner.decode", 3, "learner.decode: expected"),
        ("learner.updates", 2.5, "updates: expected a whole number"),
        ("learner.r1", "1", "r1: expected 0 or more"),
        ("learner.r1", float("nan"), "r1: expected 0 or more"),
        ("learner.schedule", {"start": 1.0}, "schedule: expected a Schedule"),
        ("references", [], "references: expected dict"),
        ("references", {"ml": 1}, "references: expected dict"),
        ("evaluation", {"type": "EventEvaluation"}, "expected one of"),
        ("colour", "red", r"\['colour'\] missing or unknown"),
        ("learner.colour", "red", r"the settings of SpikeGAN.*\['colour'\] missing or unknown"),
        ("type", "SpikeGAN", "missing or unknown"),
    ],
)
def test_settings_of_other_types_and_unknown_ones_are_refused(place, value, says):
    with pytest.raises(InputError, match=says):
        DIGITS.from_config(changed(place, value)).check()


@pytest.mark.parametrize("place", ["seed", "learner.r1", "generator.basis.decay", "evaluation.copies"])
def test_missing_settings_are_refused(place):
    config = stored(DIGITS)
    *path, name = place.split(".")
    part = config
    for key in path:
        part = part[key]
    del part[name]
    with pytest.raises(InputError, match=rf"\['{name}'\] missing or unknown.*start afresh"):
        DIGITS.from_config(config)


def test_settings_from_python_are_checked_as_those_from_files_are():
    for changes, says in [
        ({"generator.latent_scale": [0.5, 0.3]}, "latent_scale: expected tuple"),
        ({"discriminator": DIGITS.generator}, "discriminator: expected DiscriminatorSettings"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"monitor_every": 1.5}, "monitor_every"),
    ]:
        with pytest.raises(InputError, match=says):
            DIGITS.vary(changes).check()


def test_particles_share_a_batch():
    bayes = RECIPES["digits-bayes"]
    bayes.vary({"batch": 10}).check()
    for changes in ({"batch": 12}, {"batch": 5}, {"generator.size": 3}):
        with pytest.raises(InputError, match="batch: expected a multiple of the"):
            bayes.vary(changes).check()


def test_only_plain_values_can_be_kept_in_a_file():
    with pytest.raises(InputError, match="plain values and dataclasses of them"):
        DIGITS.vary({"learner.decode": lambda spikes: spikes.mean(0)}).to_config()


def test_data_of_a_type_of_ones_own_survive_the_round_trip_of_its_experiment():
    @dataclass(frozen=True, kw_only=True)
    class Silence(Data):
        num_steps: int = 4

        @property
        def shape(self):
            return self.num_steps, 1

        def batch(self, size, rng):
            raise NotImplementedError

    own = replace(DIGITS, name="silence", data=Silence())
    longer = own.vary({"data.num_steps": 9})
    assert own.from_config(stored(longer)) == longer
    with pytest.raises(InputError, match="got 'Silence'"):
        DIGITS.from_config(stored(longer))


def test_arms_are_trained_for_as_many_updates():
    modes = RECIPES["temporal-modes"]
    modes.with_updates(7).check()
    with pytest.raises(InputError, match="expected 7, as in all arms, got 1500; set all arms"):
        modes.vary({"learner.updates": 7}).check()
