"""A judge of spike trains that hears the spikes themselves: a small convolutional network."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics.spike_trains import check_trains, shuffled
from snn_gan_ext.settings import SEED, check_setting, whole

__all__ = ["told_apart_by_convolutions"]


@torch.enable_grad()
def told_apart_by_convolutions(
    real: Tensor, synthetic: Tensor, seed: int, updates: int = 1000
) -> float:
    """C2ST of spike trains: how often a convolutional network knows a train's origin.

    For generators whose discriminator heard intervals, as `snn_gan_ext.metrics.spike_trains.told_apart`
    does: this judge hears something else. It learns on one half of the trains and is tested on the
    other; 0.5 is perfect.

    Args:
        real: ``[T, B]``, ``T >= 60``, ``B >= 20``.
        synthetic: ``[T, B']``, ``B' >= 20``; of the larger set, as many are taken, at random.
        seed: of the network, its batches, and of which trains it learns from.
        updates: training steps, of 64 trains each.

    Raises:
        InputError: if there are fewer than 20 trains, they are too short, of different lengths or no
            trains, or a number has no meaning.

    References:
        Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests".
    """
    check_setting("seed", seed, SEED)
    check_setting("updates", updates, whole(1))
    for trains in (real, synthetic):
        check_trains(trains)
    half = min(real.shape[-1], synthetic.shape[-1]) // 2
    if half < 10 or len(real) != len(synthetic) or len(real) < 60:
        raise InputError(
            "trains",
            expected="at least 20 of each, of one length of 60 steps or more",
            got=f"{list(real.shape)} and {list(synthetic.shape)}",
        )
    real, synthetic = shuffled(real, seed), shuffled(synthetic, seed + 1)
    train, test = (
        torch.cat([real[:, part], synthetic[:, part]], 1).T.unsqueeze(1).float()
        for part in (slice(half), slice(half, 2 * half))
    )
    is_real = torch.arange(2 * half) < half
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=updates)
    for _ in range(updates):
        picks = torch.randint(2 * half, (64,), generator=rng)
        loss = binary_cross_entropy_with_logits(network(train[picks]), is_real[picks].float())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        answers = torch.cat([network(part) > 0 for part in torch.split(test, 500)])
    return float((answers == is_real).float().mean())


class _Network(nn.Module):
    """Patterns of spikes at three scales, judged by their mean and their strongest place."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns = nn.Sequential(
            nn.Conv1d(1, 24, 9),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(24, 32, 15, 2),
            nn.ReLU(),
            nn.Conv1d(32, 32, 5),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, trains: Tensor) -> Tensor:
        found = self.patterns(trains)
        logits: Tensor = self.head(torch.cat([found.mean(2), found.amax(2)], 1))
        return logits.squeeze(-1)
