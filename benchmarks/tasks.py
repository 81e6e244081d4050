"""What tasks side by side cost: a within-task step of N pairs of networks over that of one.

Times are measured in turn with those of N = 1, and of a plain pair of networks, which has the compiled
kernels; networks and settings are those of the recipe digits-meta.

Usage: python -m benchmarks.tasks [--rounds N]
"""

import argparse
from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.layers import Step, paired
from snn_gan_ext.algorithms.spikegan import Batch
from snn_gan_ext.experiments.recipes.digits_meta import PIXELS, DigitsMeta
from snn_gan_ext.networks.ensembles import DiscriminatorEnsemble, Ensemble

TRIALS = (10, 50)
TASKS = (5, 10)
RECIPE = DigitsMeta()


def pair() -> tuple[nn.Module, nn.Module]:
    weights = torch.Generator().manual_seed(0)
    return RECIPE.make_generator(weights), RECIPE.make_discriminator(weights)


def side_by_side(pairs: Sequence[tuple[nn.Module, nn.Module]]) -> tuple[nn.Module, nn.Module]:
    generators, discriminators = zip(*pairs, strict=True)
    return Ensemble(generators), DiscriminatorEnsemble(discriminators)


def step(networks: tuple[nn.Module, nn.Module], trials: int) -> Step:
    learner = RECIPE.within(RECIPE.inner_lr, RECIPE.inner_steps)
    rng = torch.Generator().manual_seed(0)
    state = learner.init(*networks, rng)
    spikes = (torch.rand(RECIPE.time_steps, trials, PIXELS, generator=rng) < 0.3).float()
    batch = Batch(spikes, torch.arange(trials) % RECIPE.classes)
    return lambda: learner.update(state, batch)


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
