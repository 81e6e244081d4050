"""Likelihood training against enumeration over all hidden spike trains of a tiny network."""

import itertools

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.estimators import likelihood
from snn_gan_ext.functional import bases, glm
from snn_gan_ext.networks.classifiers import SpikingClassifier
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.networks.glm import GeneratorSample
from snn_gan_ext.types import Batch
from tests.functional import reference
from tests.tiny import tiny_network

STEPS = 3


class TinyNetwork:
    """One hidden neuron, one visible one that is clamped, and all pairs of hidden spike trains."""

    def __init__(self):
        self.network = tiny_network()
        self.trains = torch.tensor(list(itertools.product([0.0, 1.0], repeat=STEPS)))
        self.visible = torch.tensor([1.0, 0.0, 1.0])

    def log_p(self, hidden_trains):
        """Log-probabilities of hidden trains, and of the visible one given each, by the reference."""
        h = hidden_trains.T.unsqueeze(-1)
        x = torch.ones_like(h)
        v = self.visible[:, None, None].expand_as(h)
        values = []
        for name, inputs, spikes in (
            ("hidden", x, h),
            ("readout", torch.cat([x, h], -1), v),
        ):
            layer = self.network.layers[name]
            values.append(reference.layer_log_likelihood(layer, inputs, spikes))
        return values

    def exact_gradient(self):
        """Autograd of E_h log p(v | h), a sum over all hidden trains."""
        hidden, visible = self.log_p(self.trains)
        bound = (hidden.exp() * visible).sum()
        names = [name for name, _ in self.network.named_parameters()]
        return dict(
            zip(names, torch.autograd.grad(bound, list(self.network.parameters())), strict=True)
        )

    def mean_estimate(self, algorithm):
        """The algorithm's gradient for a pair of copies, averaged over all pairs."""
        pairs = torch.cartesian_prod(torch.arange(2**STEPS), torch.arange(2**STEPS))
        trains = torch.cat([self.trains[pairs[:, 0]], self.trains[pairs[:, 1]]])
        h = trains.T.unsqueeze(-1)
        v = self.visible[:, None, None].expand_as(h)
        runs = self.network.sample({"x": torch.ones_like(h)}, {"hidden": 1 - h}, {"readout": v})
        assert torch.equal(runs["hidden"].spikes, h)
        sample = GeneratorSample(v, runs)
        log_p = glm.step_log_likelihood(v, runs["readout"].potentials)
        errors = algorithm.errors(sample, log_p, delay=1)
        gradients = self.network.gradients(runs, errors, per_sample=True)
        probability = self.log_p(trains)[0].detach().exp()
        both = (probability[: len(pairs)] * probability[len(pairs) :]).repeat(2) / 2
        return {name: torch.tensordot(both, gradient, dims=1) for name, gradient in gradients.items()}


def largest_error(estimate, exact):
    return max((estimate[name] - exact[name]).abs().max().item() for name in exact)


@pytest.mark.usefixtures("double")
def test_reward_to_go_is_unbiased():
    tiny = TinyNetwork()
    estimate = tiny.mean_estimate(MaximumLikelihood(updates=1, copies=2))
    assert largest_error(estimate, tiny.exact_gradient()) < 1e-10


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("signal", ["per_step", "none"])
def test_other_signals_are_not(signal):
    """Negative controls: eq. 16 as printed credits a spike with what it could not yet change."""
    tiny = TinyNetwork()
    estimate = tiny.mean_estimate(MaximumLikelihood(updates=1, copies=2, signal=signal))
    exact = tiny.exact_gradient()
    hidden = [name for name in exact if "hidden" in name]
    assert largest_error(estimate, {name: exact[name] for name in hidden}) > 1e-2
    visible = {name: exact[name] for name in exact if "readout" in name}
    assert largest_error(estimate, visible) < 1e-10


@pytest.mark.usefixtures("double")
def test_sparsity_descends_the_divergence_from_the_wanted_rate():
    tiny = TinyNetwork()
    plain = tiny.mean_estimate(MaximumLikelihood(updates=1, copies=2))
    sparse = tiny.mean_estimate(MaximumLikelihood(updates=1, copies=2, sparsity=0.5, rate=0.2))
    hidden, _ = tiny.log_p(tiny.trains)
    spikes = tiny.trains.sum(1)
    wanted = spikes * torch.tensor(0.2).log() + (STEPS - spikes) * torch.tensor(0.8).log()
    divergence = (hidden.exp() * (hidden - wanted)).sum()
    layer = tiny.network.layers["hidden"]
    names = ("weight", "feedback", "bias")
    for name, slope in zip(
        names, torch.autograd.grad(divergence, [getattr(layer, n) for n in names]), strict=True
    ):
        key = f"layers.hidden.{name}"
        torch.testing.assert_close(sparse[key] - plain[key], -0.5 * slope)


def test_reward_to_go_by_hand():
    ones = torch.ones(4, 1)
    assert likelihood.learning_signal(ones, "reward_to_go", 0).flatten().tolist() == [4, 3, 2, 1]
    assert likelihood.learning_signal(ones, "reward_to_go", 1).flatten().tolist() == [3, 2, 1, 0]
    assert torch.equal(likelihood.learning_signal(ones, "per_step", 1), ones)


def test_copies_are_compared_with_each_other_alone():
    signal = torch.tensor([[1.0, 10.0, 3.0, 30.0]])  # data 0 and 1, then their copies
    assert likelihood.advantage_over_others(signal, 2).tolist() == [[-2, -20, 2, 20]]
    assert likelihood.advantage_over_others(torch.tensor([[1.0, 3.0]]), 1).tolist() == [[-2, 2]]
    for copies in (0, 3, 5):
        with pytest.raises(InputError, match="copies"):
            likelihood.advantage_over_others(signal, copies)


def toy_batch(rng, count=60):
    """Class 0 fires on the left, class 1 on the right."""
    labels = torch.arange(count) % 2
    rates = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])[labels]
    return Batch((torch.rand(6, count, 4, generator=rng) < rates).float(), labels)


def train(network, rng, **options):
    algorithm = MaximumLikelihood(updates=80, lr=0.05, **options)
    state = algorithm.init(network, rng)
    log = [algorithm.update(state, toy_batch(rng))["log_likelihood"] for _ in range(80)]
    return algorithm, state, log


def test_a_classifier_learns_its_classes(rng):
    net = SpikingClassifier(4, 2, 6, hidden=8, basis=bases.exponential_basis(4, 2.0), rng=rng)
    _, _, log = train(net, rng)
    assert log[-1] > log[0] + 3
    batch = toy_batch(rng, 200)
    assert (net(batch.spikes, rng).argmax(-1) == batch.labels).float().mean() > 0.95


def test_windows_of_a_trial_add_up_to_the_whole():
    """With parameters held still, per-step updates sum to the rule over the trial (eq. 16)."""

    def make():
        rng = torch.Generator().manual_seed(1)
        basis = bases.exponential_basis(4, 2.0)
        net = ConditionalGenerator(2, 4, 6, hidden=5, latent_bits=2, basis=basis, rng=rng)
        return net, torch.Generator().manual_seed(2)

    def total(update_every):
        net, rng = make()
        algorithm = MaximumLikelihood(updates=1, lr=0.0, signal="per_step", update_every=update_every)
        state = algorithm.init(net, rng)
        sums = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        step, updates = state.optimizer.step, []

        def counted():
            updates.append(1)
            for name, parameter in net.named_parameters():
                sums[name] += parameter.grad
            step()

        state.optimizer.step = counted
        metrics = algorithm.update(state, toy_batch(rng))
        return sums, len(updates), metrics

    whole, once, expected = total(0)
    for update_every, times in ((1, 6), (4, 2), (6, 1), (9, 1)):
        sums, updates, metrics = total(update_every)
        assert (once, updates) == (1, times)
        torch.testing.assert_close(sums, whole)
        assert metrics == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("copies", [1, 2])
def test_the_gradient_before_adam_is_that_of_the_mean_log_likelihood(rng, copies):
    net = ConditionalGenerator(2, 4, 6, hidden=0, basis=bases.identity_basis(2), rng=rng)
    batch = toy_batch(rng, 10)
    inputs = torch.nn.functional.one_hot(batch.labels).float().expand(6, -1, -1)
    log_p = reference.layer_log_likelihood(net.network.layers["readout"], inputs, batch.spikes)
    expected = torch.autograd.grad(-log_p.mean(), list(net.parameters()))
    algorithm = MaximumLikelihood(updates=1, copies=copies)
    algorithm.update(algorithm.init(net, rng), batch)
    for parameter, slope in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, slope)


def test_a_classifier_learns_online(rng):
    net = SpikingClassifier(4, 2, 6, hidden=8, basis=bases.exponential_basis(4, 2.0), rng=rng)
    before = net.network.layers["hidden"].weight.clone()
    _, _, log = train(net, rng, update_every=2)
    assert log[-1] > log[0] + 3
    assert (net.network.layers["hidden"].weight - before).abs().max() > 0.1


def test_updates_that_would_credit_no_hidden_spike_are_refused(rng):
    net = SpikingClassifier(4, 2, 6, hidden=8, basis=bases.exponential_basis(4, 2.0), rng=rng)
    with pytest.raises(InputError, match="from a hidden spike to the read-outs"):
        train(net, rng, update_every=1)
    before = net.network.layers["hidden"].weight.clone()
    train(net, rng, update_every=1, signal="per_step")
    assert (net.network.layers["hidden"].weight - before).abs().max() > 0.1


@pytest.mark.parametrize("update_every", [0, 2])
def test_a_bad_batch_changes_nothing(rng, update_every):
    net = SpikingClassifier(4, 2, 6, hidden=8, basis=bases.exponential_basis(4, 2.0), rng=rng)
    algorithm = MaximumLikelihood(updates=1, update_every=update_every)
    state = algorithm.init(net, rng)
    before = [p.clone() for p in net.parameters()]
    batch = toy_batch(rng)
    late_fault = batch.spikes.clone()
    late_fault[-1] = torch.nan
    for spikes in (late_fault, batch.spikes[:5], batch.spikes[:0]):
        with pytest.raises(InputError, match="batch"):
            algorithm.update(state, Batch(spikes, batch.labels))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


@pytest.mark.parametrize("copies", [1, 3])
def test_a_generator_learns_its_classes(rng, copies):
    net = ConditionalGenerator(
        2, 4, 6, hidden=5, latent_bits=2, basis=bases.exponential_basis(4, 2.0), rng=rng
    )
    _, _, log = train(net, rng, copies=copies)
    assert log[-1] > log[0] + 3
    drawn = net(torch.tensor([0, 1]).repeat(100), rng).mean(0)
    assert drawn[::2, :2].mean() > 0.7 > 0.3 > drawn[::2, 2:].mean()


def test_a_state_goes_on_where_it_was_saved():
    def make(updates):
        rng = torch.Generator().manual_seed(1)
        net = SpikingClassifier(4, 2, 6, hidden=8, basis=bases.exponential_basis(4, 2.0), rng=rng)
        algorithm = MaximumLikelihood(updates=10)
        state = algorithm.init(net, rng)
        for _ in range(updates):
            algorithm.update(state, toy_batch(state.rng))
        return algorithm, state

    _, whole = make(6)
    _, half = make(3)
    algorithm, other = make(0)
    other.load_state_dict(half.state_dict())
    for _ in range(3):
        algorithm.update(other, toy_batch(other.rng))
    for ours, expected in zip(other.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"updates": 0},
        {"lr": -1},
        {"copies": 0},
        {"signal": "x"},
        {"rate": 1},
        {"sparsity": float("nan")},
        {"update_every": -1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(InputError):
        MaximumLikelihood(**{"updates": 1, **options})


@pytest.mark.parametrize("copies", [1, 2])
def test_trials_without_labels_teach_as_trials_of_one_class(copies):
    def run(labels):
        rng = torch.Generator().manual_seed(1)
        net = ConditionalGenerator(1, 4, 6, hidden=5, basis=bases.exponential_basis(4, 2.0), rng=rng)
        algorithm = MaximumLikelihood(copies=copies)
        state = algorithm.init(net, rng)
        spikes = toy_batch(torch.Generator().manual_seed(2)).spikes
        return [algorithm.update(state, Batch(spikes, labels)) for _ in range(3)]

    assert run(None) == run(torch.zeros(60, dtype=torch.long))
