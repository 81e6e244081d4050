"""A coupled GLM that runs away when it hears its own spikes, and two cures.

Ten neurons share a slow state, up or down, which the network cannot hear. Maximum likelihood explains
their common activity by coupling. Held-out likelihood looks fine; the free run does not. The cures are
a penalty on coupling that is chosen by the free run, and the moments of the free run beside the
likelihood.

Usage: python examples/runaway.py [--seed S]
"""

import argparse

import torch
from torch import Tensor

import snn_gan_ext as sg
from snn_gan_ext.metrics import populations

NEURONS, STEPS = 10, 200


def two_states(trials: int, rng: torch.Generator) -> Tensor:
    """Trials ``[T, B, N]`` of neurons that fire at .25 a step while up and at .02 while down."""
    up = torch.rand(trials, generator=rng) < 0.3
    spikes = []
    for _ in range(STEPS):
        flips = torch.rand(trials, generator=rng)
        up = torch.where(up, flips > 1 / 60, flips < 0.43 / 60)
        rates = torch.where(up, 0.25, 0.02)[:, None].expand(-1, NEURONS)
        spikes.append((torch.rand(trials, NEURONS, generator=rng) < rates).float())
    return torch.stack(spikes)


def report(name: str, generator: sg.PopulationGenerator, unseen: Tensor) -> None:
    """Print held-out log-likelihood and agreement of the free run, long after its start."""
    run = generator.observe(unseen, None, generator.noise(unseen.shape[1])).runs["readout"]
    late = generator.free_run(100, 1000, torch.Generator().manual_seed(9))[500:]
    print(
        f"| {name} | {run.log_likelihood.mean() / STEPS:.3f} "
        f"| {late.mean() / unseen.mean():.2f} "
        f"| {populations.count_divergence(unseen, late):.3f} "
        f"| {populations.correlogram_error(unseen, late):.2f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(seed)
    train, validation, unseen = (two_states(count, rng) for count in (60, 60, 200))
    basis = sg.bases.raised_cosine_basis(4, 15)
    generator = sg.PopulationGenerator(
        1, NEURONS, STEPS, basis=basis, same_step="triangular", counts=4, readout_bias=-2.5, rng=rng
    )
    print("| | held-out log-likelihood a step | late rate / real | KL of counts | correlograms |")
    print("| --- | --- | --- | --- | --- |")

    sg.FullLikelihood().fit(generator, sg.Batch(train))
    report("maximum likelihood", generator, unseen)

    def disagreement(fitted: sg.PopulationGenerator) -> float:
        late = fitted.free_run(50, 600, torch.Generator().manual_seed(seed))[300:]
        return populations.disagreement(validation, late)

    sg.choose_penalty(generator, sg.Batch(train), disagreement)
    report("penalty chosen by the free run", generator, unseen)

    algorithm = sg.MomentMatching(updates=200, lr=0.01, chains=20)
    state = algorithm.init(generator, rng)
    for _ in range(algorithm.updates):
        algorithm.update(state, sg.Batch(train[:, torch.randint(60, (20,), generator=rng)]))
    report("likelihood and moments of the free run", generator, unseen)


if __name__ == "__main__":
    main()
