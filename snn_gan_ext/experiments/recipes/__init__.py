"""The recipes by name. A recipe's module is imported when the recipe is first used."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_gan_ext.experiments.experiment import Experiment

__all__ = ["RECIPES", "SUMMARIES", "register"]

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
        "digits-spikes-ml": "the same generator trained by maximum likelihood (the paper's VAE)",
    },
    "temporal_modes": {
        "temporal-modes": "one neuron, two firing modes: likelihood, SpikeGAN and Bayes-SpikeGAN"
    },
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


class _Recipes(Mapping[str, "Experiment"]):
    """Experiments by name."""

    def __getitem__(self, name: str) -> "Experiment":
        if name in _registered:
            return _registered[name]
        module = import_module(f"{__name__}.{_MODULES[name]}")
        recipes: tuple[Experiment, ...] = module.RECIPES
        return next(recipe for recipe in recipes if recipe.name == name)

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


RECIPES = _Recipes()


def register(experiment: "Experiment", summary: str) -> None:
    """Add an experiment to the recipes, so that its runs can be read, evaluated and sampled.

    Args:
        experiment: Experiment under a name of its own.
        summary: One line for the list of recipes.
    """
    _registered[experiment.name] = experiment
    SUMMARIES[experiment.name] = summary
