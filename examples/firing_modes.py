"""Three generators learn trials that burst or fire tonically: Bayes-SpikeGAN on data of your own.

Takes about a minute:  python examples/firing_modes.py
"""

import sys

import torch

import snn_gan_ext as sg
from snn_gan_ext.datasets.patterns import BURST, TONIC, firing_modes
from snn_gan_ext.metrics.spike_trains import mode_of

NUM_STEPS, PARTICLES, BATCH = 50, 3, 96  # time steps of a trial, generators, trials in an update


def main(updates: int = 1500) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    data, _ = firing_modes(10_000, NUM_STEPS, (BURST, TONIC), rng=rng)  # spikes [T, B, N]

    basis = sg.bases.raised_cosine_basis(5, 30)
    ensemble = sg.Ensemble(
        [sg.StepResponseGenerator(1, NUM_STEPS, basis=basis, rng=rng) for _ in range(PARTICLES)]
    )
    layers = ((16, 7, 2), (32, 5, 2))  # channels, kernel and stride of convolutions over time
    discriminator = sg.TemporalDiscriminator(1, 0, NUM_STEPS, layers=layers, rng=rng)
    algorithm = sg.BayesSpikeGAN(
        updates=updates,
        generator_lr=0.05,
        discriminator_lr=1e-3,
        beta2=0.9,
        advantage_floor=0.05,
        r1=0.0,
        real_target=1.0,
    )
    state = algorithm.init(ensemble, discriminator, torch.Generator().manual_seed(1))
    for update in range(updates):
        picks = torch.randint(data.shape[1], (BATCH,), generator=state.rng)
        metrics = algorithm.update(state, sg.Batch(data[:, picks]))
        if update % 250 == 0:
            print(f"update {update}: discriminator's loss {metrics['discriminator_loss']:.3f}")

    spikes, particle = ensemble.draw(600, state.rng)
    modes = mode_of(spikes[..., 0], [(BURST.spikes, BURST.silence), (TONIC.spikes, TONIC.silence)])
    for place in range(PARTICLES):
        shares = [(modes[particle == place] == mode).float().mean() for mode in (0, 1)]
        print(f"particle {place}: {shares[0]:.2f} of its trials burst, {shares[1]:.2f} are tonic")
    return spikes


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(int, sys.argv[1:]))
