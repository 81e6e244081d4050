"""Artificial firing modes of a neuron: periodic runs of spikes and silence.

Source: SpikeGAN paper, section VIII-C and Fig. 7a.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_positive, check_setting, one_of

__all__ = ["BURST", "TONIC", "Pattern", "Phase", "firing_modes"]

Phase = Literal["random", "start"]


class Pattern(NamedTuple):
    """A firing mode: its name, a number of consecutive spikes, and of silent time steps after them."""

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
        phase: First step of a trial within its period: any one, or the start of a run of spikes.
        rng: Random source; torch's global one by default.

    Returns:
        Spikes ``[T, B, 1]`` and indices of modes ``[B]``.

    Raises:
        InputError: If a number is below 1, there is no mode, or the phase is unknown.

    >>> spikes, modes = firing_modes(2, 12, (TONIC,), phase="start")
    >>> spikes[:, 0, 0].int().tolist()
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    check_positive(count=count, num_steps=num_steps)
    if not patterns or not all(isinstance(pattern, Pattern) for pattern in patterns):
        raise InputError("patterns", expected="at least one Pattern", got=f"{patterns!r:.60}")
    for pattern in patterns:
        check_positive(spikes=pattern.spikes, silence=pattern.silence)
    check_setting("phase", phase, one_of(Phase))
    on = torch.tensor([pattern.spikes for pattern in patterns])
    period = on + torch.tensor([pattern.silence for pattern in patterns])
    modes = torch.randint(len(patterns), (count,), generator=rng)
    begins = (torch.rand(count, generator=rng) * period[modes]).long()
    if phase == "start":
        begins.zero_()
    place = (torch.arange(num_steps).unsqueeze(1) + begins) % period[modes]
    return (place < on[modes]).float().unsqueeze(-1), modes
