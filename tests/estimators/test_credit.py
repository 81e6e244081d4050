import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.estimators import credit, estimators

REWARDS = torch.tensor([[1.0, 0.0], [2.0, -4.0], [-1.0, 8.0]])


def test_rewards_add_up_to_the_logit_of_the_whole_trial(rng):
    logits = torch.randn(6, 3, generator=rng)
    torch.testing.assert_close(credit.increments(logits).sum(0), logits[-1])
    assert torch.equal(credit.increments(logits)[0], logits[0])


@pytest.mark.parametrize(
    ("discount", "expected"),
    [
        (0.0, [[1.0, 0.0], [2.0, -4.0], [-1.0, 8.0]]),
        (0.5, [[1.75, 0.0], [1.5, 0.0], [-1.0, 8.0]]),
        (1.0, [[2.0, 4.0], [1.0, 4.0], [-1.0, 8.0]]),
    ],
)
def test_rewards_to_go_by_hand(discount, expected):
    assert credit.reward_to_go(REWARDS, discount).tolist() == expected


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
def test_a_delayed_signal_comes_from_later_steps_and_ends_in_zeros(delay):
    found = credit.delayed(REWARDS, delay)
    kept = max(3 - delay, 0)
    assert torch.equal(found[:kept], REWARDS[delay:])
    assert found.shape == REWARDS.shape
    assert not found[kept:].any()


@pytest.mark.parametrize("baseline", ["none", "batch_mean", "class_mean", "leave_one_out"])
def test_each_step_has_a_baseline_of_its_own(baseline, rng):
    rewards, groups = torch.randn(7, 4, generator=rng), torch.tensor([0, 0, 1, 1, 1, 2, 0])
    found = estimators.advantage(rewards, baseline, groups)
    for step in range(4):
        alone = estimators.advantage(rewards[:, step], baseline, groups)
        torch.testing.assert_close(found[:, step], alone)


def test_all_steps_share_one_scale(rng):
    signal = torch.randn(50, 4, generator=rng) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = estimators.normalised(signal)
    assert found.std() == pytest.approx(1.0)
    torch.testing.assert_close(found / signal, (found / signal)[:1, :1].expand(50, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda: credit.increments(torch.zeros(3)),
        lambda: credit.reward_to_go(REWARDS, 1.1),
        lambda: credit.reward_to_go(REWARDS, -0.1),
        lambda: credit.delayed(REWARDS, -1),
        lambda: estimators.score_function_error(torch.zeros(3, 2, 5), torch.zeros(2, 3)),
    ],
)
def test_wrong_input_is_named(call):
    with pytest.raises(InputError):
        call()
