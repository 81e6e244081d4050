"""Generative adversarial learning of spike-train distributions, for snnTorch.

`GLMLayer` is a stochastic spiking layer for any snnTorch model, `TTFSLinear` one whose neurons spike at
most once. Trainers, recipes, metrics and the rest live in their own modules and are imported where they
are used, so that this import stays light.
"""

from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.conv import GLMConv2d, GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.register import register, unregister
from snn_gan_ext.layers.state import GLMSample, GLMState
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear
from snn_gan_ext.version import __version__

__all__ = [
    "GLMConv2d",
    "GLMConvTranspose2d",
    "GLMLayer",
    "GLMSample",
    "GLMState",
    "InputError",
    "TTFSLinear",
    "TTFSRampLinear",
    "__version__",
    "register",
    "unregister",
]

register()
