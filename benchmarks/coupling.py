"""A step of a layer whose neurons hear each other, over the same layer without, and over a plain loop.

A step samples the layer and computes the exact gradient of every weight. Each pair is measured in turn.
The loop runs the same law by the step and backpropagates the log-likelihood of its spikes.

Usage: python -m benchmarks.coupling [--rounds N]
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.layers import Step, paired
from snn_gan_ext import GLMConv2d, GLMLayer
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.layers.base import GLMNeurons

DENSITIES = 0.005, 0.02, 0.05, 0.2, 0.5
BASIS = raised_cosine_basis(3, 10)


def step_of(layer: GLMNeurons, x: Tensor) -> Step:
    def step() -> None:
        run = layer.sample(x)
        layer.gradients(run, run.score)

    return step


def loop_of(layer: GLMLayer, x: Tensor) -> Step:
    """The same law step by step, with autograd."""
    coupling, basis = layer.coupling, layer.coupling_basis
    assert coupling is not None
    assert basis is not None
    length = basis.shape[1]

    def step() -> None:
        past = x.new_zeros(length, x.shape[1], layer.out_features)
        drive = layer.drive(x)
        kernel = torch.einsum("kl,kio->lio", basis, coupling)
        own = torch.einsum("kl,ko->lo", layer.feedback_basis, layer.feedback)
        loss = x.new_zeros(())
        for now in drive:
            u = now + layer.bias + torch.einsum("lbi,lio->bo", past, kernel)
            u = u + (past * own[:, None]).sum(0)
            spikes = torch.bernoulli(torch.sigmoid(u.detach()))
            loss = loss + F.binary_cross_entropy_with_logits(u, spikes, reduction="sum")
            past = torch.cat([spikes[None], past[:-1]])
        loss.backward()

    return step


def dense(density: float, **coupling: object) -> GLMLayer:
    bias = float(torch.logit(torch.tensor(density)))
    options = {"basis": BASIS, "bias_init": bias, "weight_std": 0.0, **coupling}
    return GLMLayer(100, 100, **options)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print("100 neurons on 100 inputs, K = 3, T = 200, B = 64\n")
    print("| density | coupled, ms | / uncoupled | with an order in the step / uncoupled | / loop |")
    print("| --- " * 5 + "|")
    for density in DENSITIES:
        x = (torch.rand(200, 64, 100) < density).float()
        plain, coupled = dense(density), dense(density, coupling=True)
        ordered = dense(density, coupling=True, same_step="triangular", counts=8)
        milliseconds, over_plain = paired(step_of(coupled, x), step_of(plain, x), rounds)
        _, ordered_over_plain = paired(step_of(ordered, x), step_of(plain, x), rounds)
        _, over_loop = paired(step_of(coupled, x), loop_of(coupled, x), 3)
        print(
            f"| {density} | {milliseconds:.0f} | {over_plain:.2f} | {ordered_over_plain:.2f} | "
            f"{over_loop:.2f} |",
            flush=True,
        )
    print("\nFrames 2 x 34 x 34, 5 x 5 kernels, K = 3, T = 30, B = 32, 3 % dense\n")
    print("| layer | ms | / uncoupled |")
    print("| --- " * 3 + "|")
    x = (torch.rand(30, 32, 2, 34, 34) < 0.03).float()
    frames = {"padding": "same", "basis": BASIS, "bias_init": -3.5, "weight_std": 0.0}
    plain = step_of(GLMConv2d(2, 2, 5, **frames), x)  # type: ignore[arg-type]
    for name, options in (("coupled", {}), ("in four phases", {"same_step": "checkerboard"})):
        layer = GLMConv2d(2, 2, 5, coupling_kernel=5, **options, **frames)  # type: ignore[arg-type]
        milliseconds, ratio = paired(step_of(layer, x), plain, rounds)
        print(f"| {name} | {milliseconds:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
