import math
from typing import get_args

import pytest
import torch
from torch import nn

from snn_gan_ext import InputError
from snn_gan_ext.estimators import adversarial, estimators


def test_rewards_by_hand():
    logits = torch.tensor([0.0, math.log(3.0)])  # D = 1/2 and 3/4
    saturating = adversarial.generator_reward(logits, "saturating")
    torch.testing.assert_close(saturating, -torch.log(torch.tensor([0.5, 0.25])))
    non_saturating = adversarial.generator_reward(logits, "non_saturating")
    torch.testing.assert_close(non_saturating, torch.log(torch.tensor([0.5, 0.75])))
    jeffreys = adversarial.generator_reward(logits, "jeffreys")
    torch.testing.assert_close(jeffreys, torch.tensor([1.0, 3.0 + math.log(3.0)]))


def test_the_ratio_in_jeffreys_reward_is_cut_off_at_a_logit_of_3():
    logits = torch.tensor([2.9, 3.1, 9.0])
    expected = torch.tensor([math.exp(2.9) + 2.9, math.exp(3) + 3.1, math.exp(3) + 9.0])
    torch.testing.assert_close(adversarial.generator_reward(logits, "jeffreys"), expected)


def test_the_third_reward_has_the_slope_of_jeffreys_divergence():
    """Exact expectations over three outcomes, under the best discriminator."""
    real = torch.tensor([0.5, 0.3, 0.2])
    parameters = torch.tensor([0.3, -0.4, 0.1], requires_grad=True)
    log_law = parameters.log_softmax(0)
    logits = (real.log() - log_law).detach()
    rewards = adversarial.generator_reward(logits, "jeffreys")
    expected_score = (log_law.exp().detach() * rewards * log_law).sum()
    (ours,) = torch.autograd.grad(expected_score, parameters, retain_graph=True)
    divergence = ((log_law.exp() - real) * (log_law - real.log())).sum()
    (slope,) = torch.autograd.grad(divergence, parameters)
    torch.testing.assert_close(ours, -slope)


def test_certain_discriminators_give_finite_numbers():
    logits = torch.tensor([-1e4, 1e4])
    for objective in get_args(adversarial.Objective):
        assert adversarial.generator_reward(logits, objective).isfinite().all()
    assert adversarial.discriminator_loss(logits, logits).isfinite()


def test_discriminator_loss_by_hand():
    real, fake = torch.tensor([math.log(3.0)]), torch.tensor([0.0])
    loss = adversarial.discriminator_loss(real, fake, real_target=0.9)
    expected = -(0.9 * math.log(0.75) + 0.1 * math.log(0.25)) - math.log(0.5)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_r1_is_the_squared_slope_and_can_be_learned_from():
    linear = nn.Linear(3, 1, bias=False)
    real = torch.rand(5, 3, requires_grad=True)
    penalty = adversarial.r1_penalty(linear(real).squeeze(1), real)
    torch.testing.assert_close(penalty, linear.weight.square().sum())
    penalty.backward()
    torch.testing.assert_close(linear.weight.grad, 2 * linear.weight.detach())


def test_normalised_advantages_have_unit_spread():
    advantages = estimators.normalised(torch.tensor([1.0, 5.0, -3.0, 0.5]))
    assert advantages.std().item() == pytest.approx(1.0)
    assert torch.equal(estimators.normalised(torch.zeros(4)), torch.zeros(4))


def test_a_trial_alone_in_its_group_is_compared_with_the_batch():
    rewards, groups = torch.tensor([1.0, 3.0, 8.0]), torch.tensor([0, 0, 1])
    ours = estimators.advantage(rewards, "leave_one_out", groups)
    assert ours.tolist() == [-2.0, 2.0, 6.0]


def test_variance_minimising_baseline_lowers_the_variance(rng):
    """Rewards far from zero: REINFORCE without a baseline drowns in their mean."""
    scores = torch.randn(2000, 20, 5, generator=rng)
    rewards = 10 + scores[..., 0] + torch.randn(2000, 20, generator=rng)
    ours = torch.stack(
        [estimators.variance_minimising_gradient(s, r) for s, r in zip(scores, rewards, strict=True)]
    )
    plain = (scores * rewards.unsqueeze(-1)).mean(1)
    assert ours.var(0).max() < 0.1 * plain.var(0).min()
    expected = torch.tensor([1.0, 0, 0, 0, 0])
    bound = 6 * ours.std(0) / 2000**0.5  # false alarms below 1 in 1e8
    assert ((ours.mean(0) - expected).abs() < bound).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: adversarial.generator_reward(torch.zeros(2), "hinge"),
        lambda: estimators.advantage(torch.zeros(2), "median", torch.zeros(2)),
        lambda: estimators.advantage(torch.zeros(2), "none", torch.zeros(3)),
    ],
)
def test_wrong_input_is_named(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("baseline", ["batch_mean", "leave_one_out", "class_mean"])
def test_no_groups_are_one_group(baseline):
    rewards = torch.tensor([1.0, 3.0, 8.0])
    expected = estimators.advantage(rewards, baseline, torch.zeros(3))
    assert torch.equal(estimators.advantage(rewards, baseline), expected)


def test_the_jeffreys_reward_has_a_slope_at_its_bound():
    logits = torch.tensor([2.0, 3.0, 4.0], requires_grad=True)
    adversarial.generator_reward(logits, "jeffreys").sum().backward()
    expected = torch.tensor([math.exp(2) + 1, math.exp(3) + 1, 1.0])
    torch.testing.assert_close(logits.grad, expected)
