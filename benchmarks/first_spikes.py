"""Cost of a layer of neurons that spike at most once, over snnTorch's of the same size.

Each figure is the time of `TTFSLinear.fire` on firing times, or of that and the gradient of its
weights, over `nn.Linear` and `snntorch.Leaky` step by step with backpropagation through time,
measured in turn in one process. Inputs fire with the density of MNIST (19 % of pixels) or all of
them. "PyTorch" is the same layer without compiled loops.

Usage: python -m benchmarks.first_spikes [--repeats N] [--threads N]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import snntorch
import torch
from torch import Tensor, nn

from snn_gan_ext import TTFSLinear
from snn_gan_ext.functional import ttfs

SIZES = ((64, 16, 784, 400), (64, 64, 784, 400), (64, 256, 784, 400), (64, 64, 400, 10))


def leaky(spikes: Tensor, synapses: nn.Linear) -> Tensor:
    neuron = snntorch.Leaky(beta=1.0)
    membrane = neuron.reset_mem()
    out = []
    for step in spikes:
        spike, membrane = neuron(synapses(step), membrane)
        out.append(spike)
    return torch.stack(out)


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ratios(size: tuple[int, int, int, int], density: float, repeats: int) -> list[float]:
    batch, steps, inputs, neurons = size
    rng = torch.Generator().manual_seed(0)
    times = torch.randint(0, steps, (batch, inputs), generator=rng).float()
    times[torch.rand(batch, inputs, generator=rng) >= density] = steps
    spikes = ttfs.spikes_of(times, steps)
    layer, synapses = TTFSLinear(inputs, neurons, rng=rng), nn.Linear(inputs, neurons)

    def forward() -> None:
        with torch.no_grad():
            layer.fire(times, steps)

    def both() -> None:
        layer.fire(times, steps).times.sum().backward()

    def peer_forward() -> None:
        with torch.no_grad():
            leaky(spikes, synapses)

    def peer_both() -> None:
        leaky(spikes, synapses).sum().backward()

    def plain(call: Callable[[], None]) -> None:
        with mock.patch.object(ttfs, "arrays_of", return_value=None):
            call()

    pairs = ((forward, peer_forward), (both, peer_both))
    found = []
    for ours, theirs in pairs:
        for call in (ours, lambda ours=ours: plain(ours)):
            call()
            theirs()
            rounds = [seconds(call) / seconds(theirs) for _ in range(repeats)]
            found.append(statistics.median(rounds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| layer | forward | forward, PyTorch | and gradient | and gradient, PyTorch |")
    print("| --- " * 5 + "|")
    for size in SIZES:
        batch, steps, inputs, neurons = size
        for density in (0.19, 1.0):
            cells = [f"{ratio:.2f}" for ratio in ratios(size, density, options.repeats)]
            name = f"B{batch} T{steps} {inputs}-{neurons}, {density:.0%} fire"
            print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
