"""Cost of tasks side by side: a within-task update of N pairs of networks over that of one.

Each time is measured in turn with that of N = 1, and with that of a plain pair of networks, which uses
the compiled kernels. Networks and settings are those of the recipe digits-meta.

Usage: python -m benchmarks.tasks [--rounds N]
"""

import argparse
from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.layers import Step, paired
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.images import rate_decode
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.types import CONSTANT, Batch

TRIALS = (10, 50)
TASKS = (5, 10)
CLASSES, PIXELS, NUM_STEPS = 2, 64, 5
LEARNER = SpikeGAN(
    updates=20,
    decode=rate_decode,
    estimator="hybrid",
    baseline="leave_one_out",
    generator_lr=1e-2,
    discriminator_lr=1e-2,
    r1=3.0,
    real_target=0.9,
    schedule=CONSTANT,
)


def pair() -> tuple[nn.Module, nn.Module]:
    rng = torch.Generator().manual_seed(0)
    generator = ConditionalGenerator(
        CLASSES, PIXELS, NUM_STEPS, hidden=64, latent_bits=32, basis=exponential_basis(6, 2.0), rng=rng
    )
    return generator, MLPDiscriminator(PIXELS, CLASSES, hidden=(128,), label_scale=4.0, rng=rng)


def side_by_side(pairs: Sequence[tuple[nn.Module, nn.Module]]) -> tuple[nn.Module, nn.Module]:
    generators, discriminators = zip(*pairs, strict=True)
    return Ensemble(generators), DiscriminatorEnsemble(discriminators)


def step(networks: tuple[nn.Module, nn.Module], trials: int) -> Step:
    rng = torch.Generator().manual_seed(0)
    state = LEARNER.init(*networks, rng)
    spikes = (torch.rand(NUM_STEPS, trials, PIXELS, generator=rng) < 0.3).float()
    batch = Batch(spikes, torch.arange(trials) % CLASSES)
    return lambda: LEARNER.update(state, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| trials a task | N | ms | over N = 1 | over one plain pair |")
    print("| --- " * 5 + "|")
    for trials in TRIALS:
        one, plain = step(side_by_side([pair()]), trials), step(pair(), trials)
        for count in TASKS:
            many = step(side_by_side([pair() for _ in range(count)]), count * trials)
            milliseconds, over_one = paired(many, one, options.rounds)
            _, over_plain = paired(many, plain, options.rounds)
            row = f"| {trials} | {count} | {milliseconds:.1f} | {over_one:.2f} | {over_plain:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
