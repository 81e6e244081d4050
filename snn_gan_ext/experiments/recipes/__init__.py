"""The papers' experiments, by name."""

from snn_gan_ext.experiments.recipes.base import Recipe
from snn_gan_ext.experiments.recipes.brian_neurons import BrianAdex, BrianModes
from snn_gan_ext.experiments.recipes.digit_spikes import (
    DigitSpikesCNN,
    DigitSpikesML,
    DigitSpikesPooled,
    DigitSpikesRate,
    DigitSpikesTimeSurface,
)
from snn_gan_ext.experiments.recipes.digits import Digits, DigitsHybrid, DigitsTimeSurface
from snn_gan_ext.experiments.recipes.digits_bayes import DigitsBayes
from snn_gan_ext.experiments.recipes.digits_belief import DigitsBelief
from snn_gan_ext.experiments.recipes.digits_meta import DigitsMeta
from snn_gan_ext.experiments.recipes.nmnist import NMNIST, NMNISTSmall
from snn_gan_ext.experiments.recipes.nmnist_augment import NMNISTAugment
from snn_gan_ext.experiments.recipes.spiking_gan import (
    SpikingGANDigits,
    SpikingGANMNIST,
    SpikingGANMNISTSmall,
)
from snn_gan_ext.experiments.recipes.temporal_modes import TemporalModes
from snn_gan_ext.experiments.recipes.ttfs import TTFSMNIST, TTFSDigits

__all__ = ["RECIPES"]

RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe
    for recipe in (
        Digits,
        DigitsHybrid,
        DigitsTimeSurface,
        DigitsBelief,
        DigitsBayes,
        DigitsMeta,
        DigitSpikesPooled,
        DigitSpikesCNN,
        DigitSpikesRate,
        DigitSpikesTimeSurface,
        DigitSpikesML,
        TemporalModes,
        BrianAdex,
        BrianModes,
        NMNISTSmall,
        NMNIST,
        NMNISTAugment,
        TTFSDigits,
        TTFSMNIST,
        SpikingGANDigits,
        SpikingGANMNIST,
        SpikingGANMNISTSmall,
    )
}
