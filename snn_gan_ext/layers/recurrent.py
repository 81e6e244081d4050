"""Recurrent GLM layers under snnTorch's names: neurons of a layer that hear each other."""

from typing import Any

from snn_gan_ext.layers.conv import GLMConv2d
from snn_gan_ext.layers.glm import GLMLayer

__all__ = ["RGLMConv2d", "RGLMLayer"]


class RGLMLayer(GLMLayer):
    """`GLMLayer` with ``coupling=True``, beside `snntorch.RLeaky`.

    Each neuron hears the past spikes of all others through learnable filters, zero at first. All
    arguments are those of `GLMLayer`.
    """

    def __init__(self, in_features: int, out_features: int, **options: Any) -> None:
        super().__init__(in_features, out_features, **{"coupling": True, **options})


class RGLMConv2d(GLMConv2d):
    """`GLMConv2d` with ``coupling_kernel=3``, beside `snntorch.RLeaky` with ``all_to_all=False``.

    Each neuron hears the past spikes of its neighbours in all channels through learnable filters, zero
    at first. All arguments are those of `GLMConv2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, **options: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **{"coupling_kernel": 3, **options})
