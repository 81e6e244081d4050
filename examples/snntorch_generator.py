"""A model of snnTorch as the generator of a recipe: spike trains of handwritten digits.

The network of snnTorch's fifth tutorial, with a `GLMLayer` as its read-out, receives a label and latent
bits. As a recipe of its own it has a run folder, checkpoints, a scorecard and a report.

Usage: python examples/snntorch_generator.py [--estimator hybrid|reinforce|credit] [--seed N]
"""

import argparse
import json
from dataclasses import dataclass

import snntorch as snn
import torch
from torch import nn

from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.components import Data, GeneratorSettings
from snn_gan_ext.experiments.recipes import RECIPES, register


@dataclass(frozen=True, kw_only=True)
class SnnTorchModel(GeneratorSettings):
    """`nn.Linear`, `snntorch.Leaky` and a `GLMLayer`; by step.

    Attributes:
        hidden: Number of hidden neurons.
        latent_bits: Number of latent bits.
    """

    hidden: int = 128
    latent_bits: int = 16

    def build(self, data: Data, rng: torch.Generator) -> nn.Module:
        num_steps, pixels = data.shape
        linear = nn.Linear(data.classes + self.latent_bits, self.hidden)
        bound = linear.in_features**-0.5
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=rng)
        readout = snn.GLMLayer(
            self.hidden,
            pixels,
            delay=0,
            bias_init=-1.0,
            weight_std=0.07,
            init_hidden=True,
            rng=rng,
        )
        net = nn.Sequential(linear, snn.Leaky(beta=0.9, init_hidden=True), readout)
        return snn.ModuleGenerator(net, num_steps, classes=data.classes, latent_bits=self.latent_bits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--estimator", choices=["hybrid", "reinforce", "credit"], default="hybrid")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--evaluate-on", choices=["validation", "test"], default="test")
    parser.add_argument("--out", help="run folder; by default runs/snntorch-ESTIMATOR-seedN")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = f"snntorch-{options.estimator}"
    by_step = options.estimator == "credit"  # REINFORCE, with credit at every step
    recipe = RECIPES["digits-spikes-credit" if by_step else "digits-spikes-pooled"].vary(
        {
            "name": name,
            "generator": SnnTorchModel(),
            "learner.estimator": "reinforce" if by_step else options.estimator,
            "seed": options.seed,
            "evaluate_on": options.evaluate_on,
        }
    )
    register(recipe, "a model of snnTorch learns spike trains of digits")
    folder = options.out or f"runs/{name}-seed{options.seed}"
    print(json.dumps(runs.train(recipe.with_updates(options.updates), folder), indent=2))


if __name__ == "__main__":
    main()
