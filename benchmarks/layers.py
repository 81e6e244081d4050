"""A training step of a two-layer GLM network beside what users have, in pairs within one run.

Each row is a size and a number of basis functions; each figure the time of a GLM step (sample both
layers, then the exact gradient of every weight) over that of a peer's step, measured in turn:

- leaky: a two-layer `snn.Leaky` network, forward and backpropagation through time
- norse: the same with norse's LIF cells, where norse is installed
- loop: a GLM network that runs and backpropagates its log-likelihood step by step, as published code
- floor: the four dense matrix products alone

Memory is a step's peak, GLM over leaky. Needs Linux for this; all else runs everywhere.

Usage: python -m benchmarks.layers [--rounds N] [--threads N] [--quick]
"""

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import snntorch as snn
import torch
from torch import Tensor, nn

from snn_gan_ext import GLMLayer
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis

SIZES = {  # batch, steps, inputs, hidden, outputs
    "B100 T5 10-128-64": (100, 5, 10, 128, 64),
    "B100 T20 10-128-64": (100, 20, 10, 128, 64),
    "B64 T100 2312-256-512": (64, 100, 2312, 256, 512),
    "B32 T1000 700-256-20": (32, 1000, 700, 256, 20),
}
DENSITY = 0.05
PIECE = 2**18  # neurons times steps of a run that are given their errors at a time
Step = Callable[[], None]


def inputs(batch: int, steps: int, size: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.empty(steps, batch, size).bernoulli_(DENSITY, generator=rng)


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
            total: dict[str, Tensor] = {}
            for piece in run.pieces(max(PIECE // run.spikes[0].numel(), 1)):
                for name, gradient in layer.gradients(piece, piece.score.mul_(reward)).items():
                    total[name] = total[name].add_(gradient) if name in total else gradient

    return step


def glm_bptt(batch: int, steps: int, sizes: tuple[int, ...], by_the_step: bool) -> Step:
    """The other way to learn: autograd through GLM layers, as through `snn.Leaky`."""
    x = inputs(batch, steps, sizes[0])
    layers = [GLMLayer(a, b) for a, b in pairwise(sizes)]
    target = torch.randn(batch, sizes[-1])

    def whole() -> None:
        signal = x
        for layer in layers:
            signal, _ = layer(signal)
        (signal * target).sum().backward()

    def stepwise() -> None:
        states = [None] * len(layers)
        total = torch.zeros(())
        for frame in x:
            signal = frame
            for number, layer in enumerate(layers):
                signal, states[number] = layer(signal, states[number])
            total = total + (signal * target).sum()
        total.backward()

    return stepwise if by_the_step else whole


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
    """A GLM network as published code runs it (layers of github.com/kclip/snn, in batches).

    At each step every layer filters a window of the past ``[B, N, L]``, weighs it, draws spikes,
    and the step's log-likelihood is backpropagated.
    """
    x = inputs(batch, steps, sizes[0])
    taps = basis(functions)
    length = taps.shape[1]
    synapses = [nn.ModuleList(nn.Linear(a, b, bias=False) for _ in taps) for a, b in pairwise(sizes)]
    feedback = [nn.Parameter(torch.zeros(functions, b)) for b in sizes[1:]]
    biases = [nn.Parameter(torch.full((b,), -1.0)) for b in sizes[1:]]
    reward = torch.randn(batch, 1)

    def traces(past: Tensor) -> list[Tensor]:
        recent_first = past.flip(-1)
        return [recent_first @ row[: past.shape[-1]] for row in taps]

    def shift(past: Tensor, now: Tensor) -> Tensor:
        return torch.cat([past[:, :, 1 - length :], now.unsqueeze(-1)], -1)

    def step() -> None:
        pasts = [torch.zeros(batch, size, 1) for size in sizes]
        for frame in x:
            loss = torch.zeros(())
            news = [frame]
            for number, weigh in enumerate(synapses):
                own, received = traces(pasts[number + 1]), traces(pasts[number])
                u = sum(map(lambda layer, trace: layer(trace), weigh, received), biases[number])
                u = u + sum(map(torch.mul, feedback[number], own))
                probability = torch.sigmoid(u)
                spikes = torch.bernoulli(probability.detach())
                losses = nn.functional.binary_cross_entropy(probability, spikes, reduction="none")
                loss = loss + (losses * reward).sum()
                news.append(spikes)
            loss.backward()
            pasts = list(map(shift, pasts, news))

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
    """Peak of a step above the memory of a fresh process, in MB: median of nine processes."""
    command = [sys.executable, "-m", "benchmarks.layers", "--memory-of", name, *map(str, size)]

    def once() -> float:
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return statistics.median(once() for _ in range(9))


def measure_memory(name: str, size: tuple[int, ...]) -> None:
    """Prints a step's peak above the memory of libraries and input."""
    batch, steps, *sizes = size
    make = {**PEERS, "glm": glm}[name]
    make(2, 2, tuple(sizes))()
    step = make(batch, steps, tuple(sizes))
    samples = [resident()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.0005):
            samples.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    step()
    done.set()
    watcher.join()
    print(max(samples) - samples[0])


def resident() -> float:
    """Memory that this process holds, in MB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


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
    title, (batch, steps, *sizes) = list(SIZES.items())[1]
    for name, by_the_step in (("over the sequence", False), ("by the step", True)):
        ours = glm_bptt(batch, steps, tuple(sizes), by_the_step)
        ratio = paired(ours, leaky(batch, steps, tuple(sizes)), 20)[1]
        print(f"\nBPTT through GLM layers {name} / leaky, {title}: {ratio:.2f}")


if __name__ == "__main__":
    main()
