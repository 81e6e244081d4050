"""Names in `snntorch`, and `snntorch.utils.reset` for our layers."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import snntorch
import snntorch.utils
from torch import nn

from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.conv import GLMConv2d, GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear

__all__ = ["register", "unregister"]

LAYERS = (GLMLayer, GLMConv2d, GLMConvTranspose2d, TTFSLinear, TTFSRampLinear)
MISSING = object()

_replaced: dict[str, Any] = {}  # what snnTorch had under our names before
_resets: dict[str, Callable[..., Any]] = {}  # "ours" and "original", while ours is in place


def register() -> None:
    """Makes the layers part of snnTorch; done by ``import snn_gan_ext``, harmless when repeated.

    Afterwards ``snntorch.GLMLayer``, ``snntorch.TTFSLinear`` and so on are there, and
    ``snntorch.utils.reset(net)`` also resets every GLM layer inside ``net``, however deeply nested.
    snnTorch's own classes are left as they are. A ``reset`` that was taken by ``from snntorch.utils
    import reset`` before is snnTorch's own: import ``snn_gan_ext`` first.
    """
    for layer in LAYERS:
        name = layer.__name__
        if getattr(snntorch, name, MISSING) is not layer:
            _replaced[name] = getattr(snntorch, name, MISSING)
            setattr(snntorch, name, layer)
    if _resets:
        return
    original = snntorch.utils.reset

    @wraps(original)
    def reset(net: nn.Module) -> Any:
        result = original(net)
        for module in net.modules():
            if isinstance(module, GLMNeurons):
                module.reset_mem()
        return result

    _resets.update(ours=reset, original=original)
    snntorch.utils.reset = reset


def unregister() -> None:
    """Undoes `register`: snnTorch is as it was before the import.

    A ``reset`` that someone else has put in place of ours since is left there.
    """
    for layer in LAYERS:
        name = layer.__name__
        before = _replaced.pop(name, MISSING)
        if getattr(snntorch, name, None) is not layer:
            continue
        if before is MISSING:
            delattr(snntorch, name)
        else:
            setattr(snntorch, name, before)
    if _resets and snntorch.utils.reset is _resets["ours"]:
        snntorch.utils.reset = _resets["original"]
        _resets.clear()
