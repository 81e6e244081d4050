"""Experiments are values: they vary, compare, and survive a round trip through a file."""

import json
from dataclasses import dataclass, replace

import pytest

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import PooledRates, TimeSurface
from snn_gan_ext.experiments import recipes
from snn_gan_ext.experiments.components import MLP, Basis, Data
from snn_gan_ext.experiments.recipes import CATALOGUE, RECIPES, SUMMARIES, register
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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("learner.r2", "setting: expected one of .*r1.*, got 'learner.r2'"),
        ("learner.r1.x", "setting: expected 'learner.r1', which has no parts, got 'learner.r1.x'"),
        ("colour", "setting: expected one of name, label, .*, got 'colour'"),
        ("references.ml.learner.lr", "setting: expected 'references', which has no parts"),
        ("", "setting: expected one of"),
    ],
)
def test_unknown_settings_cannot_be_varied(name, says):
    with pytest.raises(InputError, match=says):
        DIGITS.vary({name: 1})


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("digits", "learner.r1"),
        ("digits", "learner.schedule.end"),
        ("digits-meta", "learner.inner.schedule.end"),
        ("temporal-modes", "references.ml.learner.lr"),
    ],
)
def test_a_setting_out_of_bounds_is_named_with_its_place(name, setting):
    with pytest.raises(InputError, match=f"^{setting}: expected 0 or more, got -1.0$"):
        RECIPES[name].vary({setting: -1.0})
    recipe = RECIPES[name]
    config = stored(recipe)
    *path, last = setting.split(".")
    part = config
    for key in path:
        part = part[key]
    part[last] = -1.0
    with pytest.raises(InputError, match=f"^{setting}: expected 0 or more, got -1.0$"):
        recipe.from_config(config)


def test_the_order_of_changes_does_not_matter():
    steep = SpikeGAN(baseline="variance_minimising", estimator="reinforce")
    changes = [("learner", steep), ("learner.estimator", "hybrid"), ("learner.baseline", "none")]
    forth, back = DIGITS.vary(dict(changes)), DIGITS.vary(dict(reversed(changes)))
    assert forth == back
    assert forth.learner == SpikeGAN(baseline="none", estimator="hybrid")


def test_equal_experiments_have_equal_hashes():
    modes = RECIPES["temporal-modes"]
    assert len({modes, RECIPES["temporal-modes"], modes.vary({"seed": 1}), DIGITS}) == 3


def test_a_change_in_place_reaches_no_other_experiment():
    modes = RECIPES["temporal-modes"]
    modes.vary({"seed": 1}).references.clear()
    RECIPES["temporal-modes"].references.clear()
    assert list(modes.references) == list(RECIPES["temporal-modes"].references) == ["spikegan", "ml"]


def test_an_unknown_recipe_is_a_key_error_that_names_the_known_ones():
    for error in (KeyError, InputError):
        with pytest.raises(error, match=r"recipe: expected one of digits, .*; did you mean 'digits'?"):
            RECIPES["digit"]
    assert "digit" not in RECIPES
    assert RECIPES.get("digit") is None


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", "..", "a\n", 3, None])
def test_a_recipe_has_a_name_that_can_be_an_option_and_a_folder(name):
    with pytest.raises(InputError, match="name: expected letters"):
        register(replace(DIGITS, name=name), "a recipe")


@pytest.mark.parametrize("summary", ["", " ", "two\nlines", None, 3])
def test_a_recipe_has_a_summary_of_one_line(summary):
    with pytest.raises(InputError, match="summary: expected a line of text"):
        register(replace(DIGITS, name="mine"), summary)


def test_a_recipe_is_no_other_thing():
    with pytest.raises(InputError, match="experiment: expected an Experiment, got 'digits'"):
        register("digits", "a recipe")


@pytest.fixture
def registry(monkeypatch):
    """Recipes that are forgotten after a test."""
    monkeypatch.setattr(recipes, "_registered", {})
    monkeypatch.setattr(recipes, "SUMMARIES", dict(SUMMARIES))


def test_recipes_replace_no_others_by_mistake(registry):
    mine = replace(DIGITS, name="mine")
    register(mine, "mine")
    register(mine, "mine again")
    changed = mine.vary({"seed": 1})
    with pytest.raises(InputError, match=r"expected a new one, got 'mine', .*overwrite=True"):
        register(changed, "changed")
    register(changed, "changed", overwrite=True)
    assert RECIPES["mine"] == changed
    with pytest.raises(
        InputError, match=r"got 'digits', which another recipe has; give it another name$"
    ):
        register(DIGITS, "digits", overwrite=True)


@pytest.mark.parametrize(
    "config", [{}, {"digits": 1}, {"type": "SpikeGAN"}, {"type": None}, {"type": []}]
)
def test_a_configuration_of_something_else_is_refused(config):
    with pytest.raises(InputError, match=r"config.json: expected"):
        DIGITS.from_config(config)


def test_a_configuration_of_endless_depth_is_refused():
    deep = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(InputError, match=r"config.json: .*parts of parts without end"):
        DIGITS.from_config({**stored(DIGITS), "batch": deep})


def test_the_configuration_of_a_part_is_not_that_of_an_experiment():
    with pytest.raises(InputError, match="expected the settings of Experiment, got those of SpikeGAN"):
        DIGITS.from_config(stored(DIGITS)["learner"])


@pytest.mark.parametrize("name", ["", "a.b", "a b", "items", "type", "training", "keys", 3])
def test_names_of_arms_are_those_that_a_network_can_have(name):
    arm = RECIPES["nmnist-small"].references["ml"]
    for changes in ({"label": name}, {"references": {name: arm}}):
        with pytest.raises(InputError, match=r"label|references"):
            DIGITS.vary(changes).check()


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
        ("seed", True, "seed: expected 0 .. 2.*, got True"),
        ("seed", 10**11, "seed: expected 0 .. 2"),
        ("seed", -1, "seed: expected 0 .. "),
        ("batch", 1, "batch: expected a whole number of at least 2"),
        ("label", 3, "label: expected str"),
        ("evaluate_on", "trian", "evaluate_on: expected one of validation, test"),
        ("data", None, "data: expected a Data, got None"),
        ("data", {"type": "MLP"}, "expected the settings of MLP"),
        ("data", {"type": "Data"}, "expected one of"),
        ("generator", {}, "generator: expected a GeneratorSettings"),
        ("generator.hidden", "many", "generator.hidden: expected a whole number"),
        ("generator.hidden", 10**400, "generator.hidden: expected a whole number"),
        ("generator.hidden_feedback", float("nan"), "hidden_feedback: expected a finite number"),
        ("generator.latent_scale", [0.5], "latent_scale: expected tuple"),
        ("generator.latent_scale", ["a", "b"], "latent_scale: expected tuple"),
        ("generator.basis", None, "generator.basis: expected a Basis"),
        ("generator.basis.kind", "square", "basis.kind: expected one of exponential"),
        ("generator.basis.window", 0, "window: expected a whole number from 1"),
        ("discriminator.hidden", 256, "discriminator.hidden: expected a tuple"),
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
        ({"generator.latent_scale": [0.5, 0.3]}, "generator.latent_scale: expected"),
        ({"discriminator": DIGITS.generator}, "discriminator: expected a DiscriminatorSettings"),
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
