"""Three generators learn trials that burst or fire tonically: Bayes-SpikeGAN on data of your own.

Takes about a minute:  python examples/firing_modes.py
"""

import sys

import torch

from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.spikegan import Batch
from snn_gan_ext.datasets.patterns import BURST, TONIC, firing_modes
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.metrics.spike_trains import mode_of
from snn_gan_ext.networks.discriminators import TemporalDiscriminator
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import StepResponseGenerator

STEPS, PARTICLES, TRIALS = 50, 3, 96  # time steps of a trial, generators, trials a training step


def main(training_steps: int = 1500) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    data, _ = firing_modes(10_000, STEPS, (BURST, TONIC), rng=rng)  # spikes [T, B, N]

    basis = raised_cosine_basis(5, 30)
    population = Ensemble(
        [StepResponseGenerator(1, STEPS, basis=basis, rng=rng) for _ in range(PARTICLES)]
    )
    discriminator = TemporalDiscriminator(1, 0, STEPS, layers=((16, 7, 2), (32, 5, 2)), rng=rng)
    algorithm = BayesSpikeGAN(
        decode=lambda spikes: spikes,  # the discriminator hears the spikes themselves
        updates=training_steps,
        generator_lr=0.05,
        discriminator_lr=1e-3,
        beta2=0.9,
        advantage_floor=0.05,
        r1=0.0,
        real_target=1.0,
    )
    state = algorithm.init(population, discriminator, torch.Generator().manual_seed(1))
    for step in range(training_steps):
        picks = torch.randint(data.shape[1], (TRIALS,), generator=state.rng)
        # These trials have no labels, so all are of class 0.
        metrics = algorithm.update(state, Batch(data[:, picks], torch.zeros_like(picks)))
        if step % 250 == 0:
            print(f"step {step}: discriminator's loss {metrics['discriminator_loss']:.3f}")

    spikes, particle = population.draw(torch.zeros(600, dtype=torch.long), state.rng)
    modes = mode_of(spikes[..., 0], [(BURST.spikes, BURST.silence), (TONIC.spikes, TONIC.silence)])
    for place in range(PARTICLES):
        shares = [(modes[particle == place] == mode).float().mean() for mode in (0, 1)]
        print(f"particle {place}: {shares[0]:.2f} of its trials burst, {shares[1]:.2f} are tonic")
    return spikes


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(int, sys.argv[1:]))
