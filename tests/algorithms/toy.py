"""A learning algorithm of a few lines, and a script that can be killed while it trains SpikeGAN."""

import sys
from pathlib import Path

import torch

from snn_gan_ext.experiments.loop import fit
from snn_gan_ext.experiments.recipes.digits import Digits, DigitsHybrid

CONFIG = {"recipe": "toy", "rate": 0.1}


class ToyState:
    """A random walk."""

    def __init__(self, seed=0):
        self.step = 0
        self.rng = torch.Generator().manual_seed(seed)
        self.position = torch.zeros(3)

    def state_dict(self):
        return {"step": self.step, "rng": self.rng.get_state(), "position": self.position.clone()}

    def load_state_dict(self, saved):
        self.step, self.position = saved["step"], saved["position"].clone()
        self.rng.set_state(saved["rng"])


class ToyAlgorithm:
    """Adds the batch; does at one step whatever the test wants to happen there."""

    def __init__(self, at=None, then=None):
        self.at, self.then = at, then

    def update(self, state, batch):
        state.step += 1
        state.position = state.position + batch
        if state.step == self.at:
            return self.then()
        return {"distance": float(state.position.norm())}


def next_batch(rng):
    return torch.randn(3, generator=rng)


def train_digits(folder, hybrid, resume):
    """SpikeGAN without its evaluation; prints each step, so that a test knows when to kill it."""
    torch.set_num_threads(1)
    recipe = (DigitsHybrid if hybrid else Digits)(steps=40, hidden=16, discriminator_hidden=16)
    experiment = recipe.build(torch.device("cpu"))

    def batch(rng):
        print(experiment.state.step, flush=True)
        return experiment.next_batch(rng)

    fit(
        experiment.algorithm,
        experiment.state,
        batch,
        updates=recipe.steps,
        folder=Path(folder),
        config=recipe.to_config(),
        resume=resume,
        checkpoint_every=6,
        log_every=1,
        progress=False,
    )
    torch.save(experiment.state.state_dict(), Path(folder) / "final.pt")


if __name__ == "__main__":
    train_digits(sys.argv[1], hybrid=sys.argv[2] == "hybrid", resume=sys.argv[3] == "resume")
