"""Judges of generators of event frames: convolutional networks that learned from one set alone."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from snn_gan_ext.metrics.events import LabelledFrames

__all__ = ["EventJudge"]


@dataclass(frozen=True)
class EventJudge:
    """A convolutional classifier of event frames, trained afresh for each question.

    It hears counts in five blocks of time (or each step, if T is not so divisible): two 3 x 3
    convolutions of 32 and 64 channels with pooling, a linear layer of 128; Adam, batches of 64. Frames
    of more than 24 pixels are convolved at every second pixel first.

    Attributes:
        seed: initial weights and batches.
        updates: training steps of a classifier, whatever the size of its set.
        blocks: blocks of time.
    """

    seed: int
    updates: int = 400
    blocks: int = 5

    def fit(self, data: LabelledFrames, classes: int, salt: int = 0) -> nn.Module:
        """A classifier trained on these trials."""
        rng = torch.Generator().manual_seed(self.seed + 1000 * salt)
        frames = self._frames(data.spikes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1000 * salt)
            network = _network(frames.shape[1:], classes)
            network(frames[:1])  # makes the lazy layer as wide as the frames need
            optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.updates)
            network.train()
            for _ in range(self.updates):
                picks = torch.randint(len(frames), (64,), generator=rng)
                loss = cross_entropy(network(frames[picks]), data.labels[picks], label_smoothing=0.1)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
        return network.eval()

    @torch.no_grad()
    def accuracy(self, network: nn.Module, data: LabelledFrames) -> float:
        """Share of trials that a classifier names rightly."""
        frames = self._frames(data.spikes)
        answers = torch.cat([network(part).argmax(1) for part in frames.split(500)])  # type: ignore[no-untyped-call]
        return float((answers == data.labels).float().mean())

    def tstr(self, synthetic: LabelledFrames, real: LabelledFrames, classes: int) -> float:
        """Train on one set, test on the other."""
        return self.accuracy(self.fit(synthetic, classes), real)

    def told_apart(
        self,
        train: tuple[LabelledFrames, LabelledFrames],
        test: tuple[LabelledFrames, LabelledFrames],
    ) -> float:
        """C2ST: how often a classifier knows which of two sets a trial is from that it has not seen."""
        network = self.fit(_sets(train), classes=2, salt=1)
        return self.accuracy(network, _sets(test))

    def _frames(self, spikes: Tensor) -> Tensor:
        """Counts ``[B, blocks * C, H, W]``."""
        steps, batch, channels, height, width = spikes.shape
        blocks = self.blocks if steps % self.blocks == 0 else steps
        counts = spikes.reshape(blocks, steps // blocks, batch, channels, height, width).sum(1)
        return counts.transpose(0, 1).reshape(batch, blocks * channels, height, width)


def _sets(pair: tuple[LabelledFrames, LabelledFrames]) -> LabelledFrames:
    """Trials of both, labelled by where they are from."""
    count = min(len(data.labels) for data in pair)
    spikes = torch.cat([data.spikes[:, :count] for data in pair], 1)
    return LabelledFrames(spikes, torch.arange(2).repeat_interleave(count))


def _network(shape: torch.Size, classes: int) -> nn.Module:
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2 if max(height, width) > 24 else 1, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.LazyLinear(128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, classes),
    )
