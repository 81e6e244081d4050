"""Registration of the layers in `snntorch`, and their `snntorch.utils.reset`."""

from functools import wraps
from typing import Any

from torch import nn

from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.conv import GLMConv2d, GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear

__all__ = ["register", "unregister"]

LAYERS = (GLMLayer, GLMConv2d, GLMConvTranspose2d, TTFSLinear, TTFSRampLinear)
MISSING = object()

_replaced: dict[str, Any] = {}  # snnTorch's attributes under our names before `register`
_resets: list[Any] = []  # our `snntorch.utils.reset`, while it is installed


def register() -> None:
    """Register the layers in snnTorch. ``import snn_gan_ext`` does so; repetition is harmless.

    This adds ``snntorch.GLMLayer`` and so on. ``snntorch.utils.reset(net)`` then also resets every GLM
    layer inside ``net``, at any depth. A ``from snntorch.utils import reset`` must come after it: an
    earlier one binds snnTorch's own function.
    """
    import snntorch.utils  # not at the top: the import of snnTorch is what calls this function

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

    _resets.append(reset)
    snntorch.utils.reset = reset


def unregister() -> None:
    """Undo `register`; a ``reset`` that other code has installed since then stays."""
    import snntorch.utils

    for layer in LAYERS:
        name = layer.__name__
        before = _replaced.pop(name, MISSING)
        if getattr(snntorch, name, None) is layer:
            delattr(snntorch, name)
            if before is not MISSING:
                setattr(snntorch, name, before)
    if snntorch.utils.reset in _resets:
        snntorch.utils.reset = _resets.pop().__wrapped__
