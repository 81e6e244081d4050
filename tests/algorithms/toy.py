"""A learning algorithm of a few lines, and a script that can be killed while it trains SpikeGAN."""

import sys
from pathlib import Path

import torch

from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.decoders import Rates
from snn_gan_ext.coding.images import rate_encode
from snn_gan_ext.experiments.loop import fit
from snn_gan_ext.functional.bases import exponential_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.types import Batch

CONFIG = {"recipe": "toy", "rate": 0.1}


class ToyState:
    """A random walk."""

    def __init__(self, seed=0):
        self.updates = 0
        self.rng = torch.Generator().manual_seed(seed)
        self.position = torch.zeros(3)

    def state_dict(self):
        return {
            "updates": self.updates,
            "rng": self.rng.get_state(),
            "position": self.position.clone(),
        }

    def load_state_dict(self, saved):
        self.updates, self.position = saved["updates"], saved["position"].clone()
        self.rng.set_state(saved["rng"])


class ToyAlgorithm:
    """Adds the batch to the position; ``then`` replaces the metrics of update number ``at``."""

    def __init__(self, at=None, then=None):
        self.at, self.then = at, then

    def update(self, state, batch):
        state.updates += 1
        state.position = state.position + batch
        if state.updates == self.at:
            return self.then()
        return {"distance": float(state.position.norm())}


def next_batch(rng):
    return torch.randn(3, generator=rng)


def train_spikegan(folder, hybrid, resume):
    """Prints the number of each update, so that a test knows when to kill it."""
    torch.set_num_threads(1)
    weights = torch.Generator().manual_seed(0)
    basis = exponential_basis(6, 2.0)
    generator = ConditionalGenerator(10, 64, 5, hidden=16, latent_bits=8, basis=basis, rng=weights)
    discriminator = MLPDiscriminator(64, 10, hidden=(16,), rng=weights)
    algorithm = SpikeGAN(
        decode=Rates(), updates=40, estimator="hybrid" if hybrid else "reinforce", averaging=0.9
    )
    state = algorithm.init(generator, discriminator, torch.Generator().manual_seed(1))

    def batch(rng):
        print(state.updates, flush=True)
        labels = torch.randint(10, (200,), generator=rng)
        images = torch.rand(10, 64, generator=torch.Generator().manual_seed(2))[labels]
        return Batch(rate_encode(images, 5, rng=rng), labels)

    fit(
        algorithm,
        state,
        batch,
        updates=40,
        folder=Path(folder),
        config={"recipe": "toy", "hybrid": hybrid},
        resume=resume,
        checkpoint_every=6,
        log_every=1,
        progress=False,
    )
    torch.save(state.state_dict(), Path(folder) / "final.pt")


if __name__ == "__main__":
    train_spikegan(sys.argv[1], hybrid=sys.argv[2] == "hybrid", resume=sys.argv[3] == "resume")
