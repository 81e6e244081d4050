"""The recipes by name. A recipe's module is imported when the recipe is first used."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import Rule, check_setting

if TYPE_CHECKING:
    from snn_gan_ext.experiments.experiment import Experiment

__all__ = ["RECIPES", "SUMMARIES", "UnknownRecipeError", "check_recipe", "register"]

CATALOGUE = {
    "digits": {
        "digits": "SpikeGAN on handwritten digits, pure REINFORCE (the local rule alone)",
        "digits-hybrid": "the same with the hybrid estimator: more varied samples",
        "digits-time-surface": "pure REINFORCE, time-surface decoding, two raised-cosine filters",
        "digits-belief": "the paper's baseline: an adversarial belief network, binary images",
        "digits-bayes": "Bayes-SpikeGAN: five generators that share a discriminator",
    },
    "digits_meta": {
        "digits-meta": "meta-SpikeGAN: an initialisation that learns held-out pairs of digits fast"
    },
    "digit_spikes": {
        "digits-spikes-pooled": "spike trains of 16 steps, discriminator of counts in four bins",
        "digits-spikes-cnn": "the same with a discriminator that convolves over time",
        "digits-spikes-rate": "the same with a discriminator of rates",
        "digits-spikes-time-surface": "the same with a discriminator of time surfaces",
        "digits-spikes-credit": "the local rule alone, credited at every step",
        "digits-spikes-ml": "the same generator trained by maximum likelihood (the paper's VAE)",
    },
    "temporal_modes": {
        "temporal-modes": "one neuron, two firing modes: likelihood, SpikeGAN and Bayes-SpikeGAN"
    },
    "ring": {"ring": "neurons that hear their neighbours: coupling against latent bits"},
    "recording": {"recording": "a coupled population fitted to a recording; `fit FILE` takes yours"},
    "brian_neurons": {
        "brian-adex": "learns from AdEx neurons simulated in Brian2",
        "brian-modes": "learns from three kinds of neurons simulated in Brian2",
    },
    "nmnist": {
        "nmnist-small": "SpikeGAN on event-camera digits, 17 x 17 pixels",
        "nmnist": "SpikeGAN on event-camera digits, 34 x 34 pixels",
        "nmnist-convolutional": "SpikeGAN with a convolutional generator, 17 x 17 pixels",
        "nmnist-augment": "does SpikeGAN help a classifier that has few recordings?",
    },
    "ttfs": {
        "ttfs-digits": "time-to-first-spike classifiers on 8 x 8 digits, relative and aggressive",
        "ttfs-mnist": "time-to-first-spike classifiers on MNIST, relative and aggressive",
    },
    "spiking_gan": {
        "spiking-gan-digits": "Spiking-GAN (one spike a neuron) on 8 x 8 digits",
        "spiking-gan-mnist": "Spiking-GAN (one spike a neuron) on MNIST, 28 x 28 pixels",
        "spiking-gan-mnist-small": "Spiking-GAN (one spike a neuron) on MNIST, 14 x 14 pixels",
    },
}
"""Summaries of recipes by module and name; plain text, so that listing them imports nothing."""

SUMMARIES = {name: text for recipes in CATALOGUE.values() for name, text in recipes.items()}
_MODULES = {name: module for module, recipes in CATALOGUE.items() for name in recipes}
_registered: dict[str, "Experiment"] = {}
NAME = Rule(
    "letters, digits, points, hyphens and underscores, a letter or digit first",
    lambda x: isinstance(x, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]*", x, re.ASCII) is not None,
)
"""Names that can be options of the command and parts of paths."""
SUMMARY = Rule("a line of text", lambda x: isinstance(x, str) and x.isprintable() and x.strip() != "")


class UnknownRecipeError(InputError, KeyError):
    """A name that no recipe has."""

    __str__ = Exception.__str__


class _Recipes(Mapping[str, "Experiment"]):
    """Experiments by name. Each look-up returns a copy."""

    def __getitem__(self, name: str) -> "Experiment":
        check_recipe(name)
        if name in _registered:
            return replace(_registered[name])
        module = import_module(f"{__name__}.{_MODULES[name]}")
        recipes: tuple[Experiment, ...] = module.RECIPES
        return replace(next(recipe for recipe in recipes if recipe.name == name))

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


def check_recipe(name: str) -> None:
    """Check that there is a recipe of this name, without importing it.

    Raises:
        UnknownRecipeError: If there is none.
    """
    if name not in SUMMARIES:
        near = difflib.get_close_matches(f"{name}", SUMMARIES, n=1, cutoff=0)[0]
        expected, cure = f"one of {', '.join(SUMMARIES)}", f"did you mean {near!r}?"
        raise UnknownRecipeError("recipe", expected=expected, got=f"{name!r:.80}", cure=cure)


RECIPES = _Recipes()


def register(experiment: "Experiment", summary: str, *, overwrite: bool = False) -> None:
    """Add an experiment to the recipes, so that its runs can be read, evaluated and sampled.

    Args:
        experiment: Experiment under a name of its own. The same one may be added again.
        summary: One line for the list of recipes.
        overwrite: Overwrite another experiment that was added under the name.

    Raises:
        InputError: If another recipe has the name, or the name or the summary is none.
    """
    from snn_gan_ext.experiments.experiment import Experiment

    check_setting("experiment", experiment, Rule("an Experiment", lambda x: isinstance(x, Experiment)))
    check_setting("name", experiment.name, NAME)
    check_setting("summary", summary, SUMMARY)
    known = _registered.get(experiment.name)
    if experiment.name in _MODULES or (known not in (None, experiment) and not overwrite):
        cure = "give it another name" + ("" if known is None else ", or overwrite=True")
        got = f"{experiment.name!r}, which another recipe has"
        raise InputError("name", expected="a new one", got=got, cure=cure)
    _registered[experiment.name] = experiment
    SUMMARIES[experiment.name] = summary
