"""A training step of a two-layer GLM network beside what users have, in pairs within one run.

Each row is a size and a number of basis functions; each figure the time of a GLM step (sample both
layers, then the exact gradient of every weight) over that of a peer's step, measured in turn:

- leaky: a two-layer `snn.Leaky` network, forward and backpropagation through time
- norse: the same with norse's LIF cells, where norse is installed
- loop: a GLM network that runs by the step and backpropagates its log-likelihood, as published code
- floor: the four dense matrix products alone

Memory is the peak of a process above its start, GLM over leaky.

Usage: python -m benchmarks.layers [--rounds N] [--threads N] [--quick]
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import snntorch as snn
import torch
from torch import Tensor, nn

from snn_gan_ext import GLMLayer
from snn_gan_ext.core.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.core.glm import log_likelihood

SIZES = {  # batch, steps, inputs, hidden, outputs
    "B100 T5 10-128-64": (100, 5, 10, 128, 64),
    "B100 T20 10-128-64": (100, 20, 10, 128, 64),
    "B64 T100 2312-256-512": (64, 100, 2312, 256, 512),
    "B32 T1000 700-256-20": (32, 1000, 700, 256, 20),
}
DENSITY = 0.05
Step = Callable[[], None]


def inputs(batch: int, steps: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.empty(steps, batch, size).bernoulli_(DENSITY, generator=generator)


def basis(functions: int) -> Tensor:
    return exponential_basis(6, 2.0) if functions == 1 else raised_cosine_basis(functions, 6)


def glm(batch: int, steps: int, sizes: tuple[int, ...], functions: int = 1) -> Step:
    x = inputs(batch, steps, sizes[0])
    layers = [GLMLayer(a, b, basis=basis(functions)) for a, b in pairwise(sizes)]
    reward = torch.randn(batch, 1)

    def step() -> None:
        signal, runs = x, []
        for layer in layers:
            runs.append(layer.sample(signal))
            signal = runs[-1].spikes
        for layer, run in zip(layers, runs, strict=True):
            layer.gradients(run, run.score.mul_(reward))

    return step


def leaky(batch: int, steps: int, sizes: tuple[int, ...], functions: int = 1) -> Step:
    return surrogate_network(batch, steps, sizes, lambda: snn.Leaky(beta=0.9))


def norse(batch: int, steps: int, sizes: tuple[int, ...], functions: int = 1) -> Step:
    from norse.torch import LIFCell

    return surrogate_network(batch, steps, sizes, LIFCell)


def surrogate_network(
    batch: int, steps: int, sizes: tuple[int, ...], cell: Callable[[], nn.Module]
) -> Step:
    """Linear layers and cells in turn, by the step; backpropagation through time."""
    x = inputs(batch, steps, sizes[0])
    linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    neurons = [cell() for _ in linear]
    target = torch.randn(batch, sizes[-1])

    def step() -> None:
        for neuron in neurons:
            getattr(neuron, "reset_mem", lambda: None)()
        states = [None] * len(neurons)
        total = torch.zeros(())
        for frame in x:
            signal = frame
            for number, (weigh, neuron) in enumerate(zip(linear, neurons, strict=True)):
                signal, states[number] = neuron(weigh(signal), states[number])
            total = total + (signal * target).sum()
        total.backward()

    return step


def loop(batch: int, steps: int, sizes: tuple[int, ...], functions: int = 1) -> Step:
    """Traces from a window of the past at every step; autograd through the log-likelihood."""
    x = inputs(batch, steps, sizes[0])
    layers = [GLMLayer(a, b, basis=basis(functions)) for a, b in pairwise(sizes)]
    reward = torch.randn(batch)

    def window(past: list[Tensor], taps: Tensor) -> Tensor:
        recent = torch.stack(past[: -taps.shape[1] - 1 : -1])
        return torch.einsum("kl,lbn->kbn", taps[:, : len(recent)], recent)

    def step() -> None:
        histories: list[list[Tensor]] = [[torch.zeros(batch, size)] for size in sizes]
        total = torch.zeros(batch)
        for frame in x:
            for number, layer in enumerate(layers):
                synaptic = torch.einsum(
                    "kbi,kio->bo", window(histories[number], layer.basis), layer.weight
                )
                own = window(histories[number + 1], layer.basis)
                u = synaptic + (own * layer.feedback.unsqueeze(1)).sum(0) + layer.bias
                spikes = (torch.rand_like(u) < torch.sigmoid(u)).float()
                total = total + log_likelihood(spikes.unsqueeze(0), u.unsqueeze(0))
                histories[number + 1].append(spikes)
            histories[0].append(frame)
        (total * reward).sum().backward()

    return step


def floor(batch: int, steps: int, sizes: tuple[int, ...], functions: int = 1) -> Step:
    signals = [inputs(batch, steps, size).flatten(0, 1) for size in sizes]
    weights = [torch.randn(a, functions * b) for a, b in pairwise(sizes)]
    errors = [torch.randn(batch * steps, functions * size) for size in sizes[1:]]

    def step() -> None:
        for signal, weight, error in zip(signals, weights, errors, strict=False):
            signal @ weight
            signal.T @ error

    return step


PEERS = {"leaky": leaky, "norse": norse, "loop": loop, "floor": floor}
if importlib.util.find_spec("norse") is None:
    del PEERS["norse"]


def seconds(step: Step) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def paired(ours: Step, theirs: Step, rounds: int) -> tuple[float, float]:
    """Medians over rounds: our time in milliseconds, and the ratio within each pair."""
    ours()
    theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return 1e3 * statistics.median(a for a, _ in pairs), statistics.median(a / b for a, b in pairs)


def peak_memory(name: str, size: tuple[int, ...]) -> float:
    """Peak of a fresh process above its start, in MB."""
    command = [sys.executable, "-m", "benchmarks.layers", "--memory-of", name, *map(str, size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_memory(name: str, size: tuple[int, ...]) -> None:
    batch, steps, *sizes = size
    step = {**PEERS, "glm": glm}[name](batch, steps, tuple(sizes))
    before = high_water()
    step()
    print(high_water() - before)


def high_water() -> float:
    """Peak resident memory of this process in MB (Linux; `ru_maxrss` would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the two small sizes, K = 1")
    parser.add_argument("--memory-of", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        name, *size = options.memory_of
        measure_memory(name, tuple(map(int, size)))
        return
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), {DENSITY:.0%} dense input, "
        f"medians of {options.rounds} pairs\n"
    )
    print(
        "| size | K | GLM step, ms |", " | ".join(f"/ {name}" for name in PEERS), "| memory / leaky |"
    )
    print("| --- " * (len(PEERS) + 4) + "|")
    for title, (batch, steps, *sizes) in list(SIZES.items())[: 2 if options.quick else None]:
        for functions in (1,) if options.quick else (1, 2):
            ours, cells = glm(batch, steps, tuple(sizes), functions), []
            for name, make in PEERS.items():
                rounds = max(options.rounds, 20) if batch * steps < 3000 else options.rounds
                rounds = 2 if name == "loop" and steps >= 100 else rounds
                time_ms, ratio = paired(ours, make(batch, steps, tuple(sizes), functions), rounds)
                cells.append(f"{ratio:.2f}")
            size = (batch, steps, *sizes)
            is_long = functions == 1 and steps >= 100  # a short run's peak is lost in the allocator
            memory = f"{peak_memory('glm', size) / peak_memory('leaky', size):.2f}" if is_long else ""
            print(
                f"| {title} | {functions} | {time_ms:.1f} |",
                " | ".join(cells),
                f"| {memory} |",
                flush=True,
            )
    if not options.quick:
        batch, _, *sizes = SIZES["B32 T1000 700-256-20"]
        short, long = (glm(batch, steps, tuple(sizes)) for steps in (1000, 4000))
        print(f"\nT = 4,000 over T = 1,000: {paired(long, short, 3)[1]:.2f}")


if __name__ == "__main__":
    main()
