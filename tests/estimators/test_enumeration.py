"""All spike trains of a tiny network, summed: the estimators' means without any sampling error."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from snn_gan_ext import GLMLayer
from snn_gan_ext.estimators import credit, estimators
from snn_gan_ext.functional.bases import exponential_basis
from tests.functional import reference
from tests.tiny import tiny_network

pytestmark = pytest.mark.usefixtures("double")


class TinyNetwork:
    """One hidden and one read-out neuron on one input, and all its ``4 ** steps`` spike trains."""

    def __init__(self, steps):
        self.network = tiny_network()
        trains = list(itertools.product([0.0, 1.0], repeat=2 * steps))
        spikes = torch.tensor(trains).T.reshape(2, steps, len(trains), 1)
        self.hidden_spikes, self.readout_spikes = spikes
        self.x = torch.ones(steps, len(trains), 1)
        # Uniform 0 always fires, uniform 1 never does: every train is drawn exactly once.
        uniforms = {"hidden": 1 - spikes[0], "readout": 1 - spikes[1]}
        self.runs = self.network.sample({"x": self.x}, uniforms)
        time = torch.arange(1.0, steps + 1)[:, None]
        s = self.readout_spikes[:, :, 0]
        self.reward = (s * time).sum(0) ** 2 - 2 * s.sum(0) + s[0] * s[-1]

    def reference_log_p(self):
        hidden, readout = self.network.layers["hidden"], self.network.layers["readout"]
        received = torch.cat([self.x, self.hidden_spikes], -1)
        total = 0
        for layer, inputs, spikes in (
            (hidden, self.x, self.hidden_spikes),
            (readout, received, self.readout_spikes),
        ):
            total = total + reference.layer_log_likelihood(layer, inputs, spikes)
        return total

    def exact_gradient(self):
        """Autograd of E[r], a sum over all trains."""
        expected = (self.reference_log_p().exp() * self.reward).sum()
        names = [name for name, _ in self.network.named_parameters()]
        grads = torch.autograd.grad(expected, list(self.network.parameters()), materialize_grads=True)
        return dict(zip(names, grads, strict=True))

    def probabilities(self):
        return self.reference_log_p().exp().detach()

    def scores(self):
        """Closed-form per-train gradients of log p."""
        errors = {name: run.score for name, run in self.runs.items()}
        return self.network.gradients(self.runs, errors, per_sample=True)


def largest_error(estimate, exact):
    return max((estimate[name] - exact[name]).abs().max().item() for name in exact)


def test_probabilities_add_to_one_and_are_the_layers_own():
    tiny = TinyNetwork(4)
    assert torch.equal(tiny.runs["hidden"].spikes, tiny.hidden_spikes)
    assert torch.equal(tiny.runs["readout"].spikes, tiny.readout_spikes)
    ours = sum(run.log_likelihood for run in tiny.runs.values())
    torch.testing.assert_close(ours, tiny.reference_log_p().detach(), rtol=0, atol=1e-12)
    assert len(ours) == 256
    assert ours.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_reinforce_is_unbiased():
    tiny = TinyNetwork(4)
    weights = tiny.probabilities() * tiny.reward
    mean = {name: torch.tensordot(weights, score, dims=1) for name, score in tiny.scores().items()}
    assert largest_error(mean, tiny.exact_gradient()) < 1e-10


class JudgedNetwork(TinyNetwork):
    """The same, judged at every step: a logit of each prefix ``[T, 256]``, the last one the reward."""

    def __init__(self):
        super().__init__(4)
        s, time = self.readout_spikes[:, :, 0], torch.arange(1.0, 5.0)[:, None]
        self.logits = (s * time).cumsum(0) ** 2 - 2 * s.cumsum(0) + s[0] * s
        self.reward = self.logits[-1]

    def mean(self, discount=1.0, hidden=1, readout=0):
        """Mean of the estimator that credits each layer's spikes from these numbers of steps on."""
        to_go = credit.reward_to_go(credit.increments(self.logits), discount)
        errors = {
            name: estimators.score_function_error(self.runs[name].score, credit.delayed(to_go, delay))
            for name, delay in (("hidden", hidden), ("readout", readout))
        }
        gradients = self.network.gradients(self.runs, errors, per_sample=True)
        p = self.probabilities()
        return {name: torch.tensordot(p, gradient, dims=1) for name, gradient in gradients.items()}


@pytest.mark.parametrize("hidden", [0, 1])
def test_credit_at_every_step_is_unbiased_at_a_discount_of_1(hidden):
    """From its own step on a hidden spike has the same mean: it has no part in the step's reward."""
    judged = JudgedNetwork()
    assert largest_error(judged.mean(hidden=hidden), judged.exact_gradient()) < 1e-10


@pytest.mark.parametrize("wrong", [{"hidden": 2}, {"readout": 1}, {"discount": 0.5}], ids=str)
def test_credit_that_comes_too_late_or_is_discounted_is_biased(wrong):
    """Negative control."""
    judged = JudgedNetwork()
    assert largest_error(judged.mean(**wrong), judged.exact_gradient()) > 1e-2


def test_a_score_that_leaks_the_same_bin_is_caught():
    """Negative control: traces of the wrong delay are not unbiased."""
    tiny = TinyNetwork(4)
    exact = tiny.exact_gradient()
    tiny.network.layers["readout"].delays = (0, 0)
    wrong = tiny.network.sample(
        {"x": tiny.x}, {"hidden": 1 - tiny.hidden_spikes, "readout": 1 - tiny.readout_spikes}
    )
    errors = {name: run.score for name, run in tiny.runs.items()}
    scores = tiny.network.gradients(wrong, errors, per_sample=True)
    weights = tiny.probabilities() * tiny.reward
    mean = {name: torch.tensordot(weights, score, dims=1) for name, score in scores.items()}
    assert largest_error(mean, exact) > 1e-2


def mean_over_batches(tiny, groups, estimate):
    """E[estimate] over all batches of independent trains, one for each entry of ``groups``."""
    p, scores = tiny.probabilities(), tiny.scores()
    total = {name: torch.zeros_like(score[0]) for name, score in scores.items()}
    for picks in itertools.product(range(len(p)), repeat=len(groups)):
        rows = list(picks)
        weight = p[rows].prod()
        for name, gradient in estimate(
            {name: score[rows] for name, score in scores.items()}, tiny.reward[rows]
        ).items():
            total[name] += weight * gradient
    return total


def with_baseline(baseline, groups):
    def estimate(scores, rewards):
        advantages = estimators.advantage(rewards, baseline, groups)
        return {
            name: torch.tensordot(advantages, score, dims=1) / len(rewards)
            for name, score in scores.items()
        }

    return estimate


@pytest.mark.parametrize("baseline", ["none", "batch_mean", "leave_one_out"])
@pytest.mark.parametrize("groups", [[0, 0, 0], [0, 0, 1]], ids=str)
def test_baselines_keep_reinforce_unbiased(baseline, groups):
    tiny, groups = TinyNetwork(2), torch.tensor(groups)
    mean = mean_over_batches(tiny, groups, with_baseline(baseline, groups))
    assert largest_error(mean, tiny.exact_gradient()) < 1e-10


def test_a_baseline_that_sees_its_own_sample_is_biased():
    """Negative control, and what the documentation says of ``class_mean``: 2/3 of the gradient."""
    tiny, groups = TinyNetwork(2), torch.tensor([0, 0, 0])
    mean = mean_over_batches(tiny, groups, with_baseline("class_mean", groups))
    exact = tiny.exact_gradient()
    assert largest_error(mean, exact) > 1e-2
    shrunk = {name: gradient * 2 / 3 for name, gradient in exact.items()}
    assert largest_error(mean, shrunk) < 1e-10


def test_variance_minimising_baseline_is_unbiased():
    def estimate(scores, rewards):
        return {
            name: estimators.variance_minimising_gradient(score, rewards)
            for name, score in scores.items()
        }

    tiny = TinyNetwork(2)
    mean = mean_over_batches(tiny, torch.zeros(3), estimate)
    assert largest_error(mean, tiny.exact_gradient()) < 1e-10


def test_straight_through_is_exact_for_a_linear_reward_in_one_step_and_biased_otherwise():
    tiny = TinyNetwork(1)
    s = tiny.readout_spikes
    run = tiny.runs["readout"]
    layer = tiny.network.layers["readout"]

    def mean(slope):
        error = estimators.straight_through_error(slope, run.potentials)
        gradient = layer.gradients(run, error, per_sample=True)["bias"]
        return torch.tensordot(tiny.probabilities(), gradient, dims=1)

    tiny.reward = 3 * s[0, :, 0]
    exact = tiny.exact_gradient()["layers.readout.bias"]
    torch.testing.assert_close(mean(torch.full_like(s, 3.0)), exact, rtol=0, atol=1e-10)

    tiny.reward = s[0, :, 0] ** 3  # the same function of 0 and 1, with another slope at each
    assert (mean(3 * s**2) - tiny.exact_gradient()["layers.readout.bias"]).abs() > 1e-2


def test_variance_minimising_baseline_holds_where_one_trial_is_all_of_a_synapse():
    rng = torch.Generator().manual_seed(0)
    scores = 1e-6 * torch.randn(50, 200, generator=rng, dtype=torch.float64)
    scores[torch.randint(50, (200,), generator=rng), torch.arange(200)] = 3.0
    rewards = torch.randn(50, generator=rng, dtype=torch.float64)
    exact = estimators.variance_minimising_gradient(scores, rewards)
    found = estimators.variance_minimising_gradient(scores.float(), rewards.float())
    assert (found - exact).abs().max() < 1e-6
    assert not estimators.variance_minimising_gradient(torch.zeros(4, 2), rewards[:4].float()).any()


class CoupledPair:
    """Two neurons that hear each other's past and, one of them, the other in the step: 256 trains."""

    def __init__(self, steps=4, **change):
        rng = torch.Generator().manual_seed(5)
        basis = exponential_basis(3, [1.0, 3.0])
        options = {"coupling": True, "same_step": "triangular", "counts": 1, "delay": 0} | change
        self.layer = GLMLayer(1, 2, basis=basis, bias_init=-0.5, **options)
        with torch.no_grad():
            for parameter in self.layer.parameters():
                parameter.normal_(0.0, 0.7, generator=rng)
        trains = list(itertools.product([0.0, 1.0], repeat=2 * steps))
        self.spikes = torch.tensor(trains).T.reshape(steps, 2, -1).transpose(1, 2)
        self.x = torch.ones(steps, len(trains), 1)
        s, time = self.spikes, torch.arange(1.0, steps + 1)[:, None]
        self.reward = (s[..., 0] * time).sum(0) ** 2 - 2 * (s[1:, :, 0] * s[:-1, :, 1]).sum(0)

    def log_p(self):
        """By the definition, in loops, with a graph."""
        layer, s = self.layer, self.spikes
        basis = layer.coupling_basis
        total = 0
        for t in range(len(s)):
            for i in range(2):
                u = layer.bias[i] + sum(
                    (layer.weight[:, 0, i] * layer.basis[:, lag]).sum() for lag in range(min(3, t + 1))
                )
                for lag in range(min(3, t)):
                    past = s[t - 1 - lag]
                    u = u + past[:, i] * (layer.feedback[:, i] * layer.feedback_basis[:, lag]).sum()
                    u = u + past[:, 1 - i] * (layer.coupling[:, 1 - i, i] * basis[:, lag]).sum()
                if i == 1:
                    u = u + s[t, :, 0] * (layer.same_step[0, 1] + layer.count[0])
                total = total + torch.where(s[t, :, i] > 0, F.logsigmoid(u), F.logsigmoid(-u))
        return total

    def scores(self, spikes=None):
        run = self.layer.observe(self.x, self.spikes)
        heard = run if spikes is None else run._replace(outputs=spikes)
        return self.layer.gradients(heard, run.score, per_sample=True)

    def error(self, scores):
        """Largest error of the estimator's mean, against autograd of the expected reward."""
        log_p = self.log_p()
        exact = torch.autograd.grad((log_p.exp() * self.reward).sum(), list(self.layer.parameters()))
        names = [name for name, _ in self.layer.named_parameters()]
        weights = (log_p.exp() * self.reward).detach()
        mean = {name: torch.tensordot(weights, scores[name], dims=1) for name in names}
        return largest_error(mean, dict(zip(names, exact, strict=True)))


def test_probabilities_of_coupled_neurons_add_to_one():
    pair = CoupledPair()
    run = pair.layer.observe(pair.x, pair.spikes)
    assert len(pair.reward) == 256
    torch.testing.assert_close(run.log_likelihood, pair.log_p().detach(), rtol=0, atol=1e-12)
    assert run.log_likelihood.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_reinforce_is_unbiased_with_coupling():
    pair = CoupledPair()
    assert pair.error(pair.scores()) < 1e-10


def test_a_coupling_filter_that_hears_the_same_step_is_caught():
    """Negative control: the traces of the step itself."""
    pair = CoupledPair()
    early = torch.cat([pair.spikes[1:], torch.zeros_like(pair.spikes[:1])])
    scores = pair.scores()
    scores["coupling"] = pair.scores(early)["coupling"]
    assert pair.error(scores) > 1e-3


def test_a_diagonal_that_is_counted_twice_is_caught():
    """Negative control: a neuron that hears itself by coupling, beside its feedback."""
    pair = CoupledPair()
    pair.layer.coupling_mask.fill_(True)
    total = pair.layer.observe(pair.x, pair.spikes).log_likelihood
    assert (total - pair.log_p()).abs().max() > 0.1
