"""Rate at which free runs against Brian2 pass, for the right network and for wrong ones.

The neuron of the tests fires at about 20 % and inhibits itself. Brian2 runs it with the same feedback
filter, and with filters that are 10 or 20 % off. Noise differs between seeds.

Usage: python -m benchmarks.equivalence [--seeds N] [--trials N] [--false-alarm RATE]
"""

import argparse

import torch
from tqdm import tqdm

from snn_gan_ext.brian import equivalence
from snn_gan_ext.brian.network import use_target
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.networks.generators import StepResponseGenerator

FACTORS = (1.0, 1.1, 1.2, 0.8)


def neuron(factor: float = 1.0) -> StepResponseGenerator:
    generator = StepResponseGenerator(1, 60, basis=raised_cosine_basis(3, 12), weight_std=0.0)
    layer = generator.network.layers["readout"]
    with torch.no_grad():
        layer.feedback.copy_(factor * torch.tensor([[-3.0], [-1.5], [-1.5]]))
        layer.bias.fill_(1.0)
    return generator


def passes(factor: float, seed: int, trials: int, false_alarm: float) -> bool:
    rng = torch.Generator().manual_seed(seed)
    ours, _ = equivalence.free_run(neuron(), trials, rng, seed)
    _, brian = equivalence.free_run(neuron(factor), trials, rng, seed)
    return all(line.passed for line in equivalence.compare(ours, brian, false_alarm=false_alarm))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=250)
    parser.add_argument("--false-alarm", type=float, default=0.01)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| feedback in Brian2, over ours | passed | of |")
    print("| --- | --- | --- |")
    for factor in FACTORS:
        with use_target("numpy"):
            seeds = tqdm(range(options.seeds), leave=False, desc=f"{factor}")
            passed = sum(passes(factor, seed, options.trials, options.false_alarm) for seed in seeds)
        print(f"| {factor} | {passed} | {options.seeds} |", flush=True)


if __name__ == "__main__":
    main()
