"""Neurons on a ring that hear their neighbours, with known filters: a test of learned dependence."""

import torch
from torch import Tensor

from snn_gan_ext.functional import bases, masks
from snn_gan_ext.layers.glm import GLMLayer

__all__ = ["ring_layer", "ring_spikes"]


def ring_layer(neurons: int = 8) -> GLMLayer:
    """Return the layer of the ring: each neuron excites the next one and inhibits the one before.

    The filters are over three raised cosines of six steps. A spike silences its own neuron for a while.

    Args:
        neurons: Number of neurons, at least 3.

    Raises:
        InputError: If there are fewer.
    """
    basis = bases.raised_cosine_basis(3, 6)
    layer = GLMLayer(
        1,
        neurons,
        basis=bases.identity_basis(1),
        feedback_basis=basis,
        coupling=masks.ring(neurons),
        bias_init=-2.2,
        weight_std=0.0,
    )
    place = torch.arange(neurons)
    with torch.no_grad():
        layer.feedback.copy_(torch.tensor([-3.0, -1.0, 0.3])[:, None].expand(3, neurons))
        assert layer.coupling is not None
        layer.coupling[:, place, (place + 1) % neurons] = torch.tensor([1.6, 0.8, 0.0])[:, None]
        layer.coupling[:, place, (place - 1) % neurons] = torch.tensor([-0.8, 0.4, 0.6])[:, None]
    return layer


def ring_spikes(
    count: int, num_steps: int = 100, neurons: int = 8, *, rng: torch.Generator | None = None
) -> Tensor:
    """Draw trials ``[T, count, N]`` of the ring, from silence.

    Args:
        count: Number of trials.
        num_steps: Length ``T`` of a trial in time steps.
        neurons: Number of neurons ``N``.
        rng: Random source; torch's global one by default.

    Raises:
        InputError: If a number is below 1, or there are fewer than 3 neurons.
    """
    return ring_layer(neurons).sample(torch.zeros(num_steps, count, 1), rng=rng).spikes
