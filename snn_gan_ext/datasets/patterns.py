"""Artificial firing modes of a neuron: periodic runs of spikes and silence.

Source: SpikeGAN paper, section VIII-C and Fig. 7a.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["BURST", "TONIC", "Pattern", "Phase", "firing_modes"]

Phase = Literal["random", "start"]


class Pattern(NamedTuple):
    """A firing mode.

    Attributes:
        name: Name of the mode.
        spikes: Number of consecutive spikes.
        silence: Number of silent time steps between two runs of spikes.
    """

    name: str
    spikes: int
    silence: int


BURST = Pattern("burst", 5, 15)
TONIC = Pattern("tonic", 2, 10)


def firing_modes(
    count: int,
    num_steps: int,
    patterns: Sequence[Pattern] = (BURST, TONIC),
    *,
    phase: Phase = "random",
    rng: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw spike trains of one neuron, each in a random mode.

    Args:
        count: Number of trials ``B``.
        num_steps: Number of time steps ``T``.
        patterns: Modes to draw from.
        phase: First step of a trial within its period: any one (random), or that of a run of spikes
            (start).
        rng: Random source; torch's global one by default.

    Returns:
        Spikes ``[T, B, 1]`` and indices of modes ``[B]``.

    Raises:
        InputError: If a number is below 1, there is no mode, or the phase is unknown.

    >>> spikes, modes = firing_modes(2, 12, (TONIC,), phase="start")
    >>> spikes[:, 0, 0].int().tolist()
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    numbers = [count, num_steps, *(number for p in patterns for number in (p.spikes, p.silence))]
    if not patterns or any(type(number) is not int or number < 1 for number in numbers):
        raise InputError(
            "firing modes",
            expected="whole numbers of at least 1 and at least one pattern",
            got=f"count {count}, num_steps {num_steps}, patterns {list(patterns)}",
        )
    if phase not in ("random", "start"):
        raise InputError("phase", expected="random or start", got=f"{phase!r}")
    on = torch.tensor([pattern.spikes for pattern in patterns])
    period = on + torch.tensor([pattern.silence for pattern in patterns])
    modes = torch.randint(len(patterns), (count,), generator=rng)
    begins = (torch.rand(count, generator=rng) * period[modes]).long()
    if phase == "start":
        begins = torch.zeros_like(begins)
    place = (torch.arange(num_steps).unsqueeze(1) + begins) % period[modes]
    return (place < on[modes]).float().unsqueeze(-1), modes
