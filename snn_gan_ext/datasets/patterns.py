"""Firing modes of a neuron: periodic runs of spikes and silence, each trial in one mode.

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
        name: what it is called.
        spikes: consecutive spikes, in time steps.
        silence: steps without a spike between two such runs.
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
    """Spike trains of one neuron, each in a mode drawn at random.

    Args:
        count: number of trials ``B``.
        num_steps: length ``T`` of a trial in time steps.
        patterns: the modes.
        phase: where in its period a trial begins: anywhere (random), or with a run of spikes (start).
        rng: the seeded source; torch's global generator by default.

    Returns:
        Spikes ``[T, B, 1]`` and the index of each trial's mode ``[B]``.

    Raises:
        InputError: if a size is below 1, there is no mode, or the phase is unknown.

    >>> spikes, modes = firing_modes(2, 12, (TONIC,), phase="start")
    >>> spikes[:, 0, 0].int().tolist()
    [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    """
    numbers = [count, num_steps, *(number for p in patterns for number in (p.spikes, p.silence))]
    if not patterns or any(type(number) is not int or number < 1 for number in numbers):
        raise InputError(
            "firing modes",
            expected="whole numbers: a trial, a step, modes of a spike and a silent step, or more",
            got=f"count {count}, steps {num_steps}, patterns {list(patterns)}",
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
