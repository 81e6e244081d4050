"""When skipping zeros pays: compiled kernels over matrix products, by density and size.

Each figure is the time of a layer's drive and exact weight gradient through the kernels over that
through PyTorch's products, measured in turn; below 1 the kernels are faster.

Usage: python -m benchmarks.sparsity [--rounds N] [--threads N]
"""

import argparse
from itertools import pairwise
from unittest import mock

import torch

from benchmarks.layers import SIZES, Step, basis, paired
from snn_gan_ext.functional import glm
from snn_gan_ext.functional._kernels import glm as kernels

DENSITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0)


def drive_and_gradient(
    batch: int, steps: int, in_features: int, out_features: int, density: float, compiled: bool
) -> Step:
    taps = basis(1)
    x = torch.empty(steps, batch, in_features).bernoulli_(density)
    weight, error = torch.randn(1, in_features, out_features), torch.randn(steps, batch, out_features)

    def step() -> None:
        with mock.patch.object(kernels, "is_sparse", return_value=compiled):
            glm.synaptic_drive(x, weight, taps, 1)
            glm.synaptic_gradient(x, error, taps, 1)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    switch = kernels.BREAK_EVEN / options.threads
    print(f"{options.threads} thread(s); the layers switch at a density of {switch:.2f}\n")
    print("| layer |", " | ".join(f"{density:.0%}" for density in DENSITIES), "|")
    print("| --- " * (len(DENSITIES) + 1) + "|")
    for batch, steps, *sizes in SIZES.values():
        for pair in pairwise(sizes):
            cells = []
            for density in DENSITIES:
                ours, theirs = (
                    drive_and_gradient(batch, steps, *pair, density, compiled)
                    for compiled in (True, False)
                )
                cells.append(f"{paired(ours, theirs, options.rounds)[1]:.2f}")
            print(f"| B{batch} T{steps} {pair[0]}-{pair[1]} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
