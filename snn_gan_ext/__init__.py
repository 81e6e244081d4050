"""Generative adversarial learning of spike-train distributions, for snnTorch.

`GLMLayer` is a stochastic spiking layer for any snnTorch model. Trainers, recipes, metrics and the
rest live in their own modules and are imported where they are used, so that this import stays light.
"""

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.glm import GLMLayer, GLMSample, GLMState
from snn_gan_ext.version import __version__

__all__ = ["GLMLayer", "GLMSample", "GLMState", "InputError", "__version__"]
