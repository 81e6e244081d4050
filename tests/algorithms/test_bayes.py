import copy

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.side_by_side import SideBySide, SideBySideState
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.images import rate_decode, rate_encode
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator, StepResponseGenerator
from snn_gan_ext.types import Batch
from tests.functional import reference

PATTERNS = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])


def member(rng):
    return ConditionalGenerator(2, 4, 5, hidden=8, basis=exponential_basis(6, 2.0), rng=rng)


def begin(particles, seed=0, updates=250, algorithm=BayesSpikeGAN, **options):
    rng = torch.Generator().manual_seed(seed)
    generator = Ensemble([member(rng) for _ in range(particles)])
    discriminator = MLPDiscriminator(4, 2, hidden=(32,), rng=rng)
    settings = {"r1": 1.0, "generator_lr": 1e-2, "discriminator_lr": 1e-2, **options}
    method = algorithm(decode=rate_decode, updates=updates, **settings)
    return method, method.init(generator, discriminator, torch.Generator().manual_seed(seed))


def run(method, state, updates):
    labels = torch.arange(60) % 2
    for _ in range(updates):
        spikes = rate_encode(PATTERNS[labels], 5, rng=state.rng)
        method.update(state, Batch(spikes, labels))
    return state


def errors(state):
    """Largest error of each of three particles' class means."""
    labels = torch.arange(600) % 2
    spikes = state.generator.sample(labels, state.generator.noise(600, state.rng)).spikes
    for own in torch.arange(600).chunk(3):
        drawn = rate_decode(spikes[:, own])
        means = torch.stack([drawn[labels[own] == k].mean(0) for k in range(2)])
        yield float((means - PATTERNS).abs().max())


@pytest.mark.parametrize("kernel", ["unit", "median", "none"])
def test_each_particle_learns_two_patterns(kernel):
    """The largest error of the three is 0.10 +- 0.025 (10 seeds): 0.25 is 6 standard deviations."""
    assert max(errors(run(*begin(3, kernel=kernel), 250))) < 0.25


def test_untrained_particles_know_no_patterns():
    """Negative control: the least error of the three is 0.68 +- 0.053."""
    assert min(errors(begin(3)[1])) > 0.25


def flat(state):
    return torch.cat([p.detach().flatten(1) for p in state.generator.parameters()], 1)


def test_one_particle_is_spikegan():
    bayes, plain = begin(1), begin(1, algorithm=SpikeGAN)
    ours, theirs = run(*bayes, 5), run(*plain, 5)
    torch.testing.assert_close(flat(ours), flat(theirs), atol=1e-6, rtol=1e-4)


def posterior_slope(neuron, spikes, rewards, prior_std):
    """By autograd: REINFORCE, each trial against the mean of the others, and a Gaussian prior."""
    inputs = torch.ones(*spikes.shape[:2], 1)
    log_p = reference.layer_log_likelihood(neuron.network.layers["readout"], inputs, spikes)
    expected_reward = ((rewards - rewards.mean()) * log_p).sum() / (len(rewards) - 1)
    parameters = list(neuron.parameters())
    log_prior = -sum(p.square().sum() for p in parameters) / (2 * prior_std**2)
    slopes = torch.autograd.grad(expected_reward + log_prior, parameters)
    return torch.cat([slope.flatten() for slope in slopes])


def test_the_gradient_before_adam_is_eq_12(rng):
    """Adam hides a gradient's scale. Three particles of four trials each, a kernel of bandwidth 1."""
    neurons = [
        StepResponseGenerator(1, 8, basis=raised_cosine_basis(2, 4), weight_std=0.3, rng=rng)
        for _ in range(3)
    ]
    method = BayesSpikeGAN(
        decode=lambda spikes: spikes[..., 0].T,
        updates=1,
        prior_std=2.0,
        normalise_rewards=False,
        discriminator_lr=0.0,
    )
    discriminator = MLPDiscriminator(8, rng=rng)
    state = method.init(Ensemble(neurons), discriminator, torch.Generator().manual_seed(3))
    points, labels = flat(state), None
    noise = state.generator.noise(12, torch.Generator().manual_seed(3))
    spikes = state.generator.sample(labels, noise).spikes
    rewards = torch.sigmoid(discriminator(method.decode(spikes), labels)).log().detach()
    shares = zip(neurons, spikes.chunk(3, 1), rewards.chunk(3), strict=True)
    slopes = [posterior_slope(*share, prior_std=2.0) for share in shares]

    method.update(state, Batch(torch.zeros(8, 12, 1), labels))
    found = -torch.cat([p.grad.flatten(1) for p in state.generator.parameters()], 1)
    for point, direction in zip(points, found, strict=True):
        kappas = [torch.exp(-(point - other).square().sum()) for other in points]
        expected = sum(
            kappa * (slope + 2 * (point - other))
            for kappa, slope, other in zip(kappas, slopes, points, strict=True)
        )
        torch.testing.assert_close(direction, expected / sum(kappas), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kernel", "factor"), [("none", 1), ("unit", 3), ("median", 3)])
def test_without_a_gradient_the_kernel_alone_parts_the_particles(kernel, factor):
    """The spread grows to 21 +- 1.3 (unit) and 19 +- 0.8 (median) times of itself (10 seeds)."""
    method, state = begin(4, kernel=kernel)
    with torch.no_grad():
        for parameter in state.generator.parameters():
            noise = torch.randn(parameter.shape, generator=state.rng)
            parameter.copy_(parameter[:1] + 1e-2 * noise)
    before = flat(state).std(0).mean()
    nothing = {name: torch.zeros_like(p) for name, p in state.generator.named_parameters()}
    for _ in range(30):
        method._ascend(state, nothing)
    after = flat(state).std(0).mean()
    assert after == before if kernel == "none" else after > factor * before


def test_after_its_share_of_the_run_the_kernel_is_gone():
    def moves(update):
        method, state = begin(3, kernel="median", kernel_fraction=0.5, updates=10)
        state.updates = update
        before = flat(state).clone()
        method._ascend(state, {n: torch.zeros_like(p) for n, p in state.generator.named_parameters()})
        return not torch.equal(flat(state), before)

    assert [moves(update) for update in (0, 4, 5, 9)] == [True, True, False, False]


def test_a_prior_pulls_to_zero():
    """To 0.288 +- 0.003 of the norm (10 seeds); without a prior it grows to 1.06 +- 0.01."""
    method, state = begin(2, prior_std=0.1, kernel="none", generator_lr=3e-2)
    before = flat(state).norm()
    assert flat(run(method, state, 100)).norm() < 0.7 * before


def test_algorithms_side_by_side_train_as_each_alone():
    def make():
        algorithms, states = {}, {}
        for name, particles in (("one", 1), ("three", 3)):
            algorithms[name], states[name] = begin(particles, seed=particles)
        return SideBySide(algorithms), SideBySideState(states, torch.Generator().manual_seed(5))

    def go_on(method, state, updates):
        labels = torch.arange(60) % 2
        for _ in range(updates):
            spikes = rate_encode(PATTERNS[labels], 5, rng=state.rng)
            metrics = method.update(state, Batch(spikes, labels))
        return metrics

    method, state = make()
    metrics = go_on(method, state, 4)
    assert {"one_reward", "three_reward"} <= set(metrics)
    state.drawn["4"] = torch.ones(2, 3)

    resumed_method, resumed = make()
    resumed.load_state_dict(copy.deepcopy(state.state_dict()))
    assert resumed.updates == 4
    assert torch.equal(resumed.drawn["4"], state.drawn["4"])
    go_on(method, state, 3)
    go_on(resumed_method, resumed, 3)
    alone_method, alone = begin(3, seed=3)
    rng = torch.Generator().manual_seed(5)
    labels = torch.arange(60) % 2
    for _ in range(7):
        alone_method.update(alone, Batch(rate_encode(PATTERNS[labels], 5, rng=rng), labels))
    assert torch.equal(flat(state.states["three"]), flat(resumed.states["three"]))
    assert torch.equal(flat(state.states["three"]), flat(alone))


def test_settings_out_of_range_are_refused(rng):
    for options in (
        {"kernel": "wide"},
        {"kernel_fraction": 2.0},
        {"prior_std": 0.0},
        {"baseline": "variance_minimising"},
    ):
        with pytest.raises(InputError):
            begin(2, **options)
    with pytest.raises(InputError, match="Ensemble"):
        BayesSpikeGAN(decode=rate_decode, updates=1).init(member(rng), MLPDiscriminator(4, 2), rng)
    method, state = begin(2)
    for labels in ([0, 1, 0, 1, 0], [0, 1]):
        with pytest.raises(InputError, match="multiple of the 2"):
            method.update(state, Batch(torch.zeros(5, len(labels), 4), torch.tensor(labels)))


def test_a_prior_that_overflows_does_not_go_unnoticed():
    method, state = begin(3, prior_std=1e-30)
    with pytest.raises(InputError, match="finite"):
        run(method, state, 3)
