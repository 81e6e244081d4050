"""An epoch of snnTorch's tutorials 5 and 6 with a GLM layer, over that with `snn.Leaky` alone.

Networks, data and batches are those of docs/tutorials/replace_leaky.md: 25 explicit steps,
backpropagation through time with surrogate gradients. Batches of both are timed in turn.

Usage: python -m benchmarks.tutorials [--rounds N] [--threads N]
"""

import argparse
from collections.abc import Callable

import snntorch as snn
import torch
from snntorch import functional as SF
from snntorch import surrogate, utils
from torch import Tensor, nn

from benchmarks.layers import paired
from snn_gan_ext import GLMConv2d, GLMLayer
from snn_gan_ext.datasets.digits import load_digits

STEPS, BATCH = 25, 32
Step = Callable[[], None]


class Dense(nn.Module):
    """Tutorial 5: explicit states."""

    def __init__(self, hidden: tuple[nn.Module, nn.Module], readout: tuple[nn.Module, nn.Module]):
        super().__init__()
        self.fc1, self.lif1 = hidden
        self.fc2, self.lif2 = readout

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes = []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class Convolutional(nn.Module):
    """Tutorial 6: hidden states."""

    def __init__(self, *second: nn.Module):
        super().__init__()
        first = nn.Conv2d(1, 12, 3, padding=1), nn.MaxPool2d(2), hiding()
        last = nn.Flatten(), nn.Linear(32 * 2 * 2, 10), hiding(output=True)
        self.net = nn.Sequential(*first, *second, *last)

    def forward(self, x: Tensor) -> Tensor:
        utils.reset(self.net)
        return torch.stack([self.net(x)[0] for _ in range(STEPS)])


def hiding(**settings: bool) -> nn.Module:
    slope = surrogate.fast_sigmoid(slope=25)
    return snn.Leaky(beta=0.5, spike_grad=slope, init_hidden=True, **settings)


def leaky(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(inputs, outputs), snn.Leaky(beta=0.95)


def glm(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Identity(), GLMLayer(inputs, outputs)


def training(net: nn.Module, shape: tuple[int, ...]) -> Step:
    """Return a function that takes a step of training on the next batch."""
    optimizer, loss_of = torch.optim.Adam(net.parameters(), lr=5e-3), SF.ce_rate_loss()
    images, labels = load_digits().train
    batches = iter(torch.randperm(len(labels)).split(BATCH) * 100)

    def step() -> None:
        batch = next(batches)
        loss = loss_of(net(images[batch].reshape(shape)), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def pairs() -> dict[str, tuple[Step, Step]]:
    dense, frames = (-1, 64), (-1, 1, 8, 8)
    plain = Dense(leaky(64, 100), leaky(100, 10))
    second = nn.Conv2d(12, 32, 3, padding=1), nn.MaxPool2d(2), hiding()
    glm_second = GLMConv2d(12, 32, 3, padding=1, init_hidden=True), nn.MaxPool2d(2)
    networks = {
        "tutorial 5, hidden layer": (Dense(glm(64, 100), leaky(100, 10)), plain, dense),
        "tutorial 5, read-out": (Dense(leaky(64, 100), glm(100, 10)), plain, dense),
        "tutorial 6, second convolution": (Convolutional(*glm_second), Convolutional(*second), frames),
    }
    return {
        name: (training(ours, shape), training(theirs, shape))
        for name, (ours, theirs, shape) in networks.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=45, help="batches of each network")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), medians of {options.rounds} pairs\n"
    )
    print("| GLM layer in | ms a batch | / leaky |\n| --- | --- | --- |")
    for name, (ours, theirs) in pairs().items():
        time_ms, ratio = paired(ours, theirs, options.rounds)
        print(f"| {name} | {time_ms:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
