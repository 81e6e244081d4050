r"""Rewards at every step, from a discriminator that judges a trial while it runs.

:math:`D_t` is the logit of the trial's first t steps. A step adds :math:`r_t` to it. Under the optimal
discriminator that is the log ratio of the step's probabilities, given the past, by the data's law p and
the generator's q:

.. math:: r_t = D_t - D_{t-1} = \log\frac{p(x_t \mid x_{<t})}{q(x_t \mid x_{<t})}, \qquad D_0 = 0.

A spike is credited with the rewards that it can still change. Signals are ``[T, B]``.
"""

import torch
from torch import Tensor

from snn_gan_ext.validation import between, check_setting, check_shapes, whole

__all__ = ["delayed", "increments", "reward_to_go"]


def increments(logits: Tensor) -> Tensor:
    r"""Return the reward of each step, :math:`r_t = D_t - D_{t-1}` with :math:`D_0 = 0`.

    Args:
        logits: Logit of each prefix ``[T, B]``.

    >>> increments(torch.tensor([[1.0], [3.0], [2.0]])).T
    tensor([[ 1.,  2., -1.]])
    """
    check_shapes(logits=(logits, "TB"))
    return torch.cat([logits[:1], logits.diff(dim=0)])


def reward_to_go(rewards: Tensor, discount: float) -> Tensor:
    r"""Return :math:`\sum_{k \ge 0} \gamma^k r_{t+k}`.

    It is unbiased at :math:`\gamma = 1`. A smaller discount neglects the later effects of a spike, and
    the noise of later steps. A perfect generator stays where it is at any discount: with q = p all
    rewards of the optimal discriminator are 0.

    Args:
        rewards: Reward of each step ``[T, B]``.
        discount: Discount :math:`\gamma` in 0 .. 1.

    Raises:
        InputError: If the discount is out of its range.

    References:
        De Masson d'Autume et al. (2019), "Training language GANs from scratch", discounts rewards of
        words.

    >>> reward_to_go(torch.tensor([[1.0], [2.0], [-1.0]]), 0.5).T
    tensor([[ 1.7500,  1.5000, -1.0000]])
    """
    check_shapes(rewards=(rewards, "TB"))
    check_setting("discount", discount, between(0, 1))
    to_go = [rewards[-1]]
    for reward in rewards[:-1].flip(0):
        to_go.append(reward + discount * to_go[-1])
    return torch.stack(to_go[::-1])


def delayed(signal: Tensor, delay: int) -> Tensor:
    """Return the signal ``delay`` steps later, and 0 behind its end: the credit of spikes heard then.

    Args:
        signal: Signal ``[T, B]``.
        delay: Time steps from a spike to the read-out neurons.

    Raises:
        InputError: If the delay is negative.

    >>> delayed(torch.tensor([[1.0], [2.0], [3.0]]), 1).T
    tensor([[2., 3., 0.]])
    """
    check_shapes(signal=(signal, "TB"))
    check_setting("delay", delay, whole(0))
    return torch.cat([signal[delay:], torch.zeros_like(signal[:delay])])
