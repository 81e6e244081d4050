import copy

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.gan import update_average
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.coding.images import rate_decode, rate_encode
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis
from snn_gan_ext.networks.discriminators import MLPDiscriminator, PrefixDiscriminator
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.types import Batch, Schedule

PATTERNS = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])


def train(device, updates=250, seed=0, basis=None, **options):
    """Learns two patterns of four pixels; returns the trained class means."""
    rng = torch.Generator().manual_seed(seed)
    generator = ConditionalGenerator(
        2, 4, 5, hidden=8, basis=exponential_basis(6, 2.0) if basis is None else basis, rng=rng
    ).to(device)
    discriminator = MLPDiscriminator(4, 2, hidden=(32,), rng=rng).to(device)
    settings = {"r1": 1.0, "generator_lr": 1e-2, "discriminator_lr": 1e-2, **options}
    algorithm = SpikeGAN(decode=rate_decode, updates=updates, **settings)
    state = algorithm.init(generator, discriminator, torch.Generator(device).manual_seed(seed))
    labels = (torch.arange(60) % 2).to(device)
    patterns = PATTERNS.to(device)
    for _ in range(updates):
        spikes = rate_encode(patterns[labels], 5, rng=state.rng)
        metrics = algorithm.update(state, Batch(spikes, labels))
    drawn = rate_decode(generator(labels, state.rng)).cpu()
    means = torch.stack([drawn[labels.cpu() == k].mean(0) for k in range(2)])
    return means, metrics


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"baseline": "leave_one_out"},
        {"baseline": "class_mean"},
        {"baseline": "variance_minimising"},
        {"objective": "saturating"},
        {"estimator": "hybrid"},
        {"basis": raised_cosine_basis(2, 6) / 1.5},
        {"estimator": "hybrid", "normalise_rewards": False, "baseline": "leave_one_out"},
    ],
    ids=str,
)
def test_every_estimator_learns_two_patterns(options, device):
    """Mean errors are 0.05 +- 0.015 or better (10 seeds): 0.13 is 5 standard deviations."""
    means, metrics = train(device, **options)
    assert (means - PATTERNS).abs().mean() < 0.13
    assert set(metrics) == {
        "discriminator_loss",
        "r1_penalty",
        "real_logit",
        "fake_logit",
        "reward",
    }


@pytest.mark.parametrize("options", [{"updates": 1}, {"baseline": "none"}], ids=str)
def test_after_one_update_or_without_a_baseline_the_patterns_are_not_there(device, options):
    """Negative controls of the test above: mean errors are 0.40 +- 0.05 and 0.36 +- 0.044."""
    means, _ = train(device, **options)
    assert (means - PATTERNS).abs().mean() > 0.13


def test_the_same_seed_is_the_same_run():
    cpu = torch.device("cpu")
    first, second, other = (train(cpu, updates=20, seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_learning_rates_fall_linearly_to_their_last_fraction():
    algorithm = SpikeGAN(decode=rate_decode, updates=4, schedule=Schedule(1.0, 0.2), generator_lr=1.0)
    rng = torch.Generator()
    generator = ConditionalGenerator(2, 4, 5, hidden=2, basis=exponential_basis(2, 2.0))
    state = algorithm.init(generator, MLPDiscriminator(4, 2), rng)
    rates = []
    for _ in range(5):
        algorithm.update(state, Batch(torch.zeros(5, 4, 4), torch.tensor([0, 1, 0, 1])))
        rates.append(state.generator_optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_label_smoothing_lowers_the_target_of_real_trials():
    """The loss at a target t is softplus(l) - t l at a real logit l, and the same at generated ones."""
    cpu = torch.device("cpu")
    hard, soft = (train(cpu, updates=1, real_target=target)[1] for target in (1.0, 0.6))
    gained = soft["discriminator_loss"] - hard["discriminator_loss"]
    assert gained == pytest.approx(0.4 * hard["real_logit"], rel=1e-3)
    assert abs(hard["real_logit"]) > 1e-2


def test_the_averaged_generator_is_the_mean_of_weights_and_goes_on_where_it_was():
    def begin():
        rng = torch.Generator().manual_seed(0)
        generator = ConditionalGenerator(2, 4, 5, hidden=2, basis=exponential_basis(2, 2.0), rng=rng)
        return algorithm.init(generator, MLPDiscriminator(4, 2, rng=rng), rng)

    algorithm = SpikeGAN(decode=rate_decode, updates=9, averaging=0.99)
    batch = Batch(torch.zeros(5, 4, 4), torch.tensor([0, 1, 0, 1]))
    state, seen = begin(), []
    for _ in range(3):
        algorithm.update(state, batch)
        seen.append([p.detach().clone() for p in state.generator.parameters()])
    means = [torch.stack(values).mean(0) for values in zip(*seen, strict=True)]
    for mean, averaged in zip(means, state.averaged.parameters(), strict=True):
        torch.testing.assert_close(averaged, mean)
    resumed = begin()
    resumed.load_state_dict(copy.deepcopy(state.state_dict()))
    for going_on in (state, resumed):
        algorithm.update(going_on, batch)
    pairs = zip(state.averaged.parameters(), resumed.averaged.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    plain = SpikeGAN(decode=rate_decode, updates=9).init(
        state.generator, state.discriminator, state.rng
    )
    assert plain.averaged is plain.generator
    with pytest.raises(InputError, match="averaging"):
        SpikeGAN(decode=rate_decode, updates=9, averaging=1.0)


def test_the_average_forgets_at_its_decay():
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        average.weight.fill_(0.0)
        network.weight.fill_(1.0)
    update_average(average, network, decay=0.9, updates=1000)
    assert average.weight.item() == pytest.approx(0.1)


def test_settings_that_cannot_go_together_are_named():
    with pytest.raises(InputError, match="hybrid"):
        SpikeGAN(decode=rate_decode, updates=1, estimator="hybrid", baseline="variance_minimising")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float64])
def test_spikes_of_any_type_teach_the_same(dtype):
    def learned(spikes):
        rng = torch.Generator().manual_seed(0)
        generator = ConditionalGenerator(2, 4, 5, hidden=3, basis=exponential_basis(6, 2.0), rng=rng)
        algorithm = SpikeGAN(decode=rate_decode, updates=1)
        state = algorithm.init(generator, MLPDiscriminator(4, 2, rng=rng), rng)
        return algorithm.update(state, Batch(spikes, torch.arange(6) % 2))

    spikes = (torch.rand(5, 6, 4, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert learned(spikes.to(dtype)) == learned(spikes)
    with pytest.raises(InputError, match="tensor"):
        learned(spikes.numpy())


def begin(algorithm, classes=(1, 0), readout=4, seed=0):
    weights = torch.Generator().manual_seed(seed)
    generator = ConditionalGenerator(
        classes[0], readout, 5, hidden=3, basis=exponential_basis(6, 2.0), rng=weights
    )
    features = generator.network.sizes["readout"][0]
    discriminator = MLPDiscriminator(features, classes[1], rng=weights)
    return algorithm.init(generator, discriminator, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("baseline", ["batch_mean", "leave_one_out"])
def test_trials_without_labels_teach_as_trials_of_one_class(baseline, rng):
    spikes = (torch.rand(5, 6, 4, generator=rng) < 0.5).float()
    algorithm = SpikeGAN(decode=rate_decode, baseline=baseline)
    one, other = begin(algorithm), begin(algorithm)
    for _ in range(3):
        metrics = algorithm.update(one, Batch(spikes))
        labelled = algorithm.update(other, Batch(spikes, torch.zeros(6, dtype=torch.long)))
        assert metrics == labelled


def test_networks_with_different_numbers_of_labels_are_refused():
    for classes in ((1, 2), (3, 0), (3, 2)):
        with pytest.raises(InputError, match="build both networks with the same classes"):
            begin(SpikeGAN(), classes)


@pytest.mark.parametrize("estimator", ["reinforce", "hybrid"])
def test_framed_trials_teach_as_flat_ones(estimator, rng):
    spikes = (torch.rand(5, 6, 2, 3, 3, generator=rng) < 0.5).float()
    algorithm = SpikeGAN(decode=lambda x: x.flatten(2).mean(0), estimator=estimator)
    flat, framed = begin(algorithm, readout=18), begin(algorithm, readout=(2, 3, 3))
    for _ in range(2):
        assert algorithm.update(flat, Batch(spikes.flatten(2))) == algorithm.update(
            framed, Batch(spikes)
        )
    with pytest.raises(InputError, match=r"\[5, 6, 2, 3, 3\]"):
        algorithm.update(framed, Batch(spikes.flatten(2)))


def test_the_discriminator_receives_the_spikes_themselves_by_default(rng):
    spikes = torch.rand(5, 6, 4, generator=rng)
    assert SpikeGAN().decode(spikes) is spikes
    assert SpikeGAN() == SpikeGAN()


def begin_stepwise(members=1, seed=0, **options):
    weights = torch.Generator().manual_seed(seed)
    basis = exponential_basis(6, 2.0)
    parts = [ConditionalGenerator(2, 4, 5, hidden=8, basis=basis, rng=weights) for _ in range(members)]
    discriminator = PrefixDiscriminator(4, 2, 5, hidden=(32,), rng=weights)
    settings = {"generator_lr": 1e-2, "discriminator_lr": 1e-2, "baseline": "leave_one_out", **options}
    algorithm = SpikeGAN(updates=250, credit="step", **settings)
    generator = Ensemble(parts) if members > 1 else parts[0]
    return algorithm, algorithm.init(generator, discriminator, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("updates", "learned"), [(250, True), (1, False)])
def test_credit_at_every_step_learns_two_patterns(updates, learned):
    """After one update, the negative control, the patterns are not there."""
    algorithm, state = begin_stepwise()
    labels = torch.arange(60) % 2
    for _ in range(updates):
        algorithm.update(state, Batch(rate_encode(PATTERNS[labels], 5, rng=state.rng), labels))
    drawn = rate_decode(state.generator(labels, state.rng))
    means = torch.stack([drawn[labels == k].mean(0) for k in range(2)])
    assert ((means - PATTERNS).abs().mean() < 0.13) == learned


@pytest.mark.parametrize("members", [1, 2])
def test_a_hidden_spike_is_credited_from_the_step_on_in_which_it_is_heard(members, rng):
    algorithm, state = begin_stepwise(members)
    seen = {}
    gradients = state.generator.gradients

    def spy(sample, errors):
        seen.update({name: errors[name] / sample.runs[name].score for name in errors})
        return gradients(sample, errors)

    state.generator.gradients = spy
    labels = torch.arange(12) % 2
    algorithm.update(state, Batch(rate_encode(PATTERNS[labels], 5, rng=rng), labels))
    hidden, readout = (seen[name][..., 0] for name in ("hidden", "readout"))
    torch.testing.assert_close(hidden[:-1], readout[1:])
    assert not hidden[-1].any()
    assert readout[-1].any()


@pytest.mark.parametrize("decode", [lambda s: (s.mean(0) > 0.5).float(), lambda s: s.detach().mean(0)])
def test_a_decoder_without_a_slope_is_refused_for_the_hybrid_estimator(decode):
    batch = Batch(torch.zeros(5, 6, 4), torch.zeros(6, dtype=torch.long))
    for estimator in ("reinforce", "hybrid"):
        algorithm = SpikeGAN(decode=decode, updates=1, estimator=estimator, r1=0.0)
        state = begin(algorithm, classes=(1, 1))
        if estimator == "reinforce":
            assert "reward" in algorithm.update(state, batch)
        else:
            with pytest.raises(InputError, match=r"decode: expected a map with a slope"):
                algorithm.update(state, batch)
