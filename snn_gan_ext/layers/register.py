"""Names in `snntorch`, and `snntorch.utils.reset` for our layers."""

from functools import wraps
from typing import Any

import snntorch
import snntorch.utils
from torch import nn

from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.conv import GLMConv2d, GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer

__all__ = ["register", "unregister"]

LAYERS = (GLMLayer, GLMConv2d, GLMConvTranspose2d)


def register() -> None:
    """Makes the GLM layers part of snnTorch; done by ``import snn_gan_ext``, harmless when repeated.

    Afterwards ``snntorch.GLMLayer``, ``snntorch.GLMConv2d`` and ``snntorch.GLMConvTranspose2d`` are
    there, and ``snntorch.utils.reset(net)`` also resets every GLM layer inside ``net``, however deeply
    nested. snnTorch's own classes are left as they are.
    """
    for layer in LAYERS:
        setattr(snntorch, layer.__name__, layer)
    original = snntorch.utils.reset
    if hasattr(original, "_snn_gan_ext_original"):
        return

    @wraps(original)
    def reset(net: nn.Module) -> Any:
        result = original(net)
        for module in net.modules():
            if isinstance(module, GLMNeurons):
                module.reset_mem()
        return result

    reset._snn_gan_ext_original = original  # type: ignore[attr-defined]
    snntorch.utils.reset = reset


def unregister() -> None:
    """Undoes `register`: snnTorch is as it was before the import."""
    for layer in LAYERS:
        if getattr(snntorch, layer.__name__, None) is layer:
            delattr(snntorch, layer.__name__)
    original = getattr(snntorch.utils.reset, "_snn_gan_ext_original", None)
    if original is not None:
        snntorch.utils.reset = original
