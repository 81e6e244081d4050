"""A network so small that all its spike trains can be summed over."""

from functools import partial

import torch

from snn_gan_ext import GLMLayer
from snn_gan_ext.functional import bases
from snn_gan_ext.networks.glm import GLMNetwork


def tiny_network():
    """One hidden and one read-out neuron on one input."""
    rng = torch.Generator().manual_seed(3)
    basis = bases.exponential_basis(3, 2.0)
    neuron = partial(GLMLayer, basis=basis, weight_std=1.0, bias_init=-1.0, rng=rng)
    hidden, readout = neuron(1, 1, delay=0), neuron(2, 1, delay=[0, 1])
    with torch.no_grad():
        hidden.feedback.fill_(1.5)
        readout.feedback.fill_(-0.7)
    return GLMNetwork(
        {"x": 1},
        {"hidden": hidden, "readout": readout},
        {"hidden": ["x"], "readout": ["x", "hidden"]},
    )
