"""The papers' tables and figures, each from one command: train, evaluate, compare with the paper.

A folder holds a run folder for each recipe and seed, ``metrics.json``, ``table.md`` and pictures.
Finished runs are kept: the same command goes on where it was stopped.

Each function takes `Settings`, and returns the contents of ``metrics.json``. It raises `InputError` if
``out`` holds other runs or a setting has no use in it, and `Interrupted` after Ctrl-C or SIGTERM.
"""

from snn_gan_ext.experiments.papers.augment import nmnist_augment
from snn_gan_ext.experiments.papers.common import Settings
from snn_gan_ext.experiments.papers.curves import digits_curves
from snn_gan_ext.experiments.papers.meta import digits_meta
from snn_gan_ext.experiments.papers.noise import digits_noise
from snn_gan_ext.experiments.papers.table_1 import digits_spikes

__all__ = [
    "PAPERS",
    "Settings",
    "digits_curves",
    "digits_meta",
    "digits_noise",
    "digits_spikes",
    "nmnist_augment",
]

_FUNCTIONS = (digits_curves, digits_meta, digits_noise, digits_spikes, nmnist_augment)
PAPERS = {function.__name__.replace("_", "-"): function for function in _FUNCTIONS}
