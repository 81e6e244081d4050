"""Samples of known distributions."""

import torch

from snn_gan_ext.coding.images import Labelled


def blobs(rng, count=400, spread=0.1, shift=0.0, classes=2, pixels=6):
    """Classes of bounded noise around well separated means."""
    labels = torch.arange(count) % classes
    means = torch.linspace(0.25, 0.75, classes)[labels].unsqueeze(1)
    noise = torch.rand(count, pixels, generator=rng) - 0.5
    return Labelled((means + shift + 2 * spread * noise).clamp(0, 1), labels)


def trains(rng, count=400, num_steps=60, rate=0.2):
    """Poisson trains."""
    return torch.bernoulli(torch.full((num_steps, count), rate), generator=rng)
