"""Named, independent random sources from one seed."""

import numpy as np
import torch

__all__ = ["stream", "stream_seed"]


def stream_seed(seed: int, role: str) -> int:
    """Return the seed of a role, below 2^31, for libraries that take a number.

    Args:
        seed: Seed of the run.
        role: Name of the role, such as ``"weights"``.

    >>> stream_seed(0, "weights") == stream_seed(0, "weights") != stream_seed(1, "weights")
    True
    """
    state = np.random.SeedSequence([seed, *role.encode()]).generate_state(1)
    return int(state[0]) >> 1


def stream(seed: int, role: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the random source of a role; roles and seeds share no stream.

    Args:
        seed: Seed of the run.
        role: Name of the role, such as ``"weights"``.
        device: Device of the source.
    """
    return torch.Generator(device).manual_seed(stream_seed(seed, role))
