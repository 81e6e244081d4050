"""Cost of particles: the generator's share of a Bayes-SpikeGAN update, J particles over one.

The share is one draw of trials and their exact gradients, 32 trials a particle. Each time is measured
in turn with that of one particle, and with that of a plain generator of 32 trials.

Usage: python -m benchmarks.ensembles [--rounds N]
"""

import argparse

import torch

from benchmarks.layers import Step, paired
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator, StepResponseGenerator

TRIALS = 32
PARTICLES = (1, 2, 5, 10)


def neuron() -> StepResponseGenerator:
    return StepResponseGenerator(1, 50, basis=raised_cosine_basis(5, 30))


def digits() -> ConditionalGenerator:
    return ConditionalGenerator(
        10, 64, 5, hidden=64, latent_bits=32, gate_latent=True, basis=exponential_basis(6, 2.0)
    )


def share(generator: torch.nn.Module, trials: int) -> Step:
    labels = torch.arange(trials) % 10

    def step() -> None:
        sample = generator.sample(labels, generator.noise(trials))
        generator.gradients(sample, {name: run.score for name, run in sample.runs.items()})

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| generator | J | ms | over J = 1 | over one plain generator of 32 trials |")
    print("| --- " * 5 + "|")
    for name, make in (("one neuron, T = 50", neuron), ("digits, T = 5", digits)):
        one, plain = share(Ensemble([make()]), TRIALS), share(make(), TRIALS)
        for size in PARTICLES:
            many = share(Ensemble([make() for _ in range(size)]), size * TRIALS)
            milliseconds, over_one = paired(many, one, options.rounds)
            _, over_plain = paired(many, plain, options.rounds)
            row = f"| {name} | {size} | {milliseconds:.1f} | {over_one:.2f} | {over_plain:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
