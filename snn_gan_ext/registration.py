"""Layers, algorithms and networks under `snntorch`, and layers in functions of `snntorch.utils`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.meta import MetaSpikeGAN
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.errors import InputError
from snn_gan_ext.layers.base import GLMNeurons
from snn_gan_ext.layers.conv import GLMConv1d, GLMConv2d, GLMConvTranspose2d
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.layers.recurrent import RGLMConv2d, RGLMLayer
from snn_gan_ext.layers.ttfs import TTFSLinear, TTFSRampLinear
from snn_gan_ext.networks.modules import ModuleDiscriminator, ModuleGenerator

__all__ = ["register", "unregister"]

LAYERS = (
    GLMLayer,
    GLMConv1d,
    GLMConv2d,
    GLMConvTranspose2d,
    RGLMLayer,
    RGLMConv2d,
    TTFSLinear,
    TTFSRampLinear,
)
TRAINERS = (SpikeGAN, BayesSpikeGAN, MetaSpikeGAN, MaximumLikelihood)
NETWORKS = (ModuleGenerator, ModuleDiscriminator)
MISSING = object()

_replaced: dict[str, Any] = {}  # snnTorch's attributes under our names before `register`
_installed: dict[str, Any] = {}  # our functions in `snntorch.utils` by name


def register() -> None:
    """Register the package in snnTorch. ``import snn_gan_ext`` does so; repetition is harmless.

    This adds ``snntorch.GLMLayer``, ``snntorch.SpikeGAN``, ``snntorch.ModuleGenerator`` and so on.
    ``snntorch.utils.reset(net)`` then also resets every GLM
    layer inside ``net``, at any depth. A ``from snntorch.utils import reset`` must come after it: an
    earlier one binds snnTorch's own function. After a reload of snnTorch, call it again.
    """
    import snntorch.utils  # not at the top: the import of snnTorch is what calls this function

    for kind in (*LAYERS, *TRAINERS, *NETWORKS):
        name = kind.__name__
        if getattr(snntorch, name, MISSING) is not kind:
            _replaced[name] = getattr(snntorch, name, MISSING)
            setattr(snntorch, name, kind)
    for name, extended in {"reset": _reset, "_final_layer_check": _outputs_of_last_layer}.items():
        original = getattr(snntorch.utils, name, None)
        if original is not None and not _contains(original, _installed.get(name)):
            _installed[name] = extended(original)
            setattr(snntorch.utils, name, _installed[name])


def unregister() -> None:
    """Undo `register`; a ``reset`` that other code has installed since then stays."""
    import snntorch.utils

    for kind in (*LAYERS, *TRAINERS, *NETWORKS):
        name = kind.__name__
        before = _replaced.pop(name, MISSING)
        if getattr(snntorch, name, None) is kind:
            delattr(snntorch, name)
            if before is not MISSING:
                setattr(snntorch, name, before)
    for name, ours in list(_installed.items()):
        if getattr(snntorch.utils, name) is ours:
            setattr(snntorch.utils, name, _installed.pop(name).__wrapped__)


def _contains(function: Any, ours: Any) -> bool:
    """Tell whether a function is ours, or a wrapper of it."""
    while function is not None and function is not ours:
        function = getattr(function, "__wrapped__", None)
    return function is not None


def _reset(original: Callable[[nn.Module], Any]) -> Callable[[nn.Module], Any]:
    @wraps(original)
    def reset(net: nn.Module) -> Any:
        result = original(net)
        for module in net.modules():
            if isinstance(module, GLMNeurons):
                module.reset_mem()
        return result

    return reset


def _outputs_of_last_layer(original: Callable[[nn.Module], Any]) -> Callable[[nn.Module], Any]:
    @wraps(original)
    def count(net: nn.Module) -> Any:
        """Return the number of outputs of a network, which `snntorch.backprop` asks for."""
        last = list(net.children())[-1:]
        if not last or not isinstance(last[0], GLMNeurons):
            return original(net)
        if not (last[0].init_hidden and last[0].output):
            cure = "build it with init_hidden=True, output=True"
            expected = "a last layer that returns its spikes and its state"
            raise InputError("net", expected=expected, got="one that does not", cure=cure)
        return 2

    return count
