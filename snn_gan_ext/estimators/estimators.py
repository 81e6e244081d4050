r"""Estimators of the gradient of an expected reward through stochastic spikes.

Every estimator is an *error* :math:`e_{i,t}` of each neuron and step. Layers contract it with their
pre-synaptic traces, so every learning rule has the form

.. math:: \Delta w_{j,i} \propto \sum_t a_{j,t}\, e_{i,t},

trace times post-synaptic error times global signal: eq. 8 of the SpikeGAN paper.

Shapes: rewards ``[B]``, or ``[B, T]`` for every step; errors ``[T, B, N]``; per-sample gradients
``[B, ...]``.
"""

from typing import Literal

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import check_shapes, check_tensor, check_tensors

__all__ = [
    "Baseline",
    "advantage",
    "normalised",
    "score_function_error",
    "straight_through_error",
    "variance_minimising_gradient",
]

Baseline = Literal["none", "batch_mean", "class_mean", "leave_one_out", "variance_minimising"]


def advantage(rewards: Tensor, baseline: Baseline, groups: Tensor | None = None) -> Tensor:
    r"""Return rewards minus a baseline, :math:`A_b = r_b - c_b`, ``[B]``.

    ==================== ================================================ ======================
    baseline             :math:`c_b`                                      unbiased
    ==================== ================================================ ======================
    ``none``             0                                                yes
    ``batch_mean``       mean reward of the *other* trials of the batch   yes
    ``class_mean``       mean reward of the trial's group, itself         no: shrinks a group's
                         included                                         part by 1 - 1/n
    ``leave_one_out``    mean reward of the *other* trials of the group   yes
    ==================== ================================================ ======================

    Without a baseline learning fails: the mean reward drowns the differences between trials.
    ``batch_mean`` equals ``(r - mean) * B / (B - 1)``. ``leave_one_out`` compares a trial alone in its
    group with the batch. ``variance_minimising`` differs by parameter: `variance_minimising_gradient`.

    Args:
        rewards: Rewards ``[B]`` with ``B >= 2``, except for ``none``. Rewards of steps ``[B, T]``
            have a baseline for each step.
        baseline: One of the names above.
        groups: Whole numbers ``[B]``, equal for trials under the same condition; None for one group.

    Raises:
        InputError: If ``rewards`` and ``groups`` differ in shape, there is only one trial, or the
            baseline is unknown.

    References:
        SpikeGAN paper, eq. 7-8; Kool et al., "Buy 4 REINFORCE samples, get a baseline for free!".

    >>> advantage(torch.tensor([1.0, 0.0, 4.0, 2.0]), "leave_one_out", torch.tensor([0, 0, 1, 1]))
    tensor([ 1., -1.,  2., -2.])
    """
    check_tensor("rewards", rewards)
    if groups is None:
        groups = torch.zeros(rewards.shape[:1], dtype=torch.long, device=rewards.device)
    check_shapes(rewards=(rewards, ("B", *rewards.shape[1:])), groups=(groups, "B"))
    if baseline == "none":
        return rewards
    _check_comparable(rewards)
    others_of_batch = rewards - _mean_of_others(rewards, torch.zeros_like(groups))
    if baseline == "batch_mean":
        return others_of_batch
    group_mean, group_size = _group_mean(rewards, groups)
    if baseline == "class_mean":
        return rewards - group_mean
    if baseline == "leave_one_out":
        others_of_group = rewards - _mean_of_others(rewards, groups)
        return torch.where(group_size > 1, others_of_group, others_of_batch)
    expected = "none, batch_mean, class_mean or leave_one_out"
    raise InputError("baseline", expected=expected, got=f"{baseline}")


def normalised(advantages: Tensor, floor: float = 1e-8) -> Tensor:
    """Return advantages divided by their standard deviation plus ``floor``.

    This keeps the step size steady while the discriminator's certainty grows. The scale contains each
    trial's own reward, so the estimate is biased in length.

    Args:
        advantages: Advantages ``[B >= 2]``, or ``[B, T]`` with one deviation over all trials and steps.
        floor: Number added to the deviation.
    """
    check_tensor("advantages", advantages)
    _check_comparable(advantages)
    return advantages / (advantages.std() + floor)


def score_function_error(score: Tensor, advantages: Tensor) -> Tensor:
    r"""Return the error of REINFORCE, :math:`e_{i,t} = A_b\,(s_{i,t} - \sigma(u_{i,t}))`.

    It is unbiased if the advantage is. It is local: each neuron needs its own traces and spike, and one
    number for the whole network.

    Args:
        score: Score ``[T, B, *out]`` from `snn_gan_ext.functional.glm.score`.
        advantages: Advantages ``[B]``, or ``[T, B]`` for every step.

    Raises:
        InputError: If there is not one advantage for each trial, or for each step and trial.

    References:
        SpikeGAN paper, eq. 7-8; Williams (1992).
    """
    check_tensors(score=score, advantages=advantages)
    check_shapes(advantages=(advantages, score.shape[0 if advantages.dim() == 2 else 1 : 2]))
    return score * advantages.reshape(*advantages.shape, *[1] * (score.dim() - 2))


def straight_through_error(reward_gradient: Tensor, potentials: Tensor) -> Tensor:
    r"""Return the straight-through error of the read-out neurons.

    .. math:: e_{i,t} = \frac{\partial r}{\partial s_{i,t}}\, p_{i,t} (1 - p_{i,t})

    It is biased: it takes the discriminator as linear between 0 and 1, and ignores a spike's effect on
    later potentials through feedback. Its variance is far below that of REINFORCE. It needs one number
    for each read-out neuron and step: the discriminator's gradient at its inputs.

    Args:
        reward_gradient: Derivative of each trial's reward by its spikes ``[T, B, N]``.
        potentials: Membrane potentials ``[T, B, N]``.

    References:
        Bengio, Leonard and Courville (2013), arXiv:1308.3432.
    """
    check_tensors(reward_gradient=reward_gradient, potentials=potentials)
    probability = torch.sigmoid(potentials)
    return reward_gradient * probability * (1 - probability)


def variance_minimising_gradient(per_sample: Tensor, rewards: Tensor) -> Tensor:
    r"""Return the mean reward's gradient ``[...]`` by REINFORCE with a variance-minimising baseline.

    .. math:: \hat g_\theta = \frac1B \sum_b g_{\theta,b}\,(r_b - c_{\theta,b}), \qquad
        c_{\theta,b} = \frac{\sum_{b' \ne b} g_{\theta,b'}^2 r_{b'}}{\sum_{b' \ne b} g_{\theta,b'}^2}.

    Each parameter has its own baseline, an estimate of :math:`E[g^2 r] / E[g^2]` from the other trials:
    it is unbiased and local.

    Args:
        per_sample: Gradients of the log-likelihood ``[B, ...]``.
        rewards: Rewards ``[B]``.

    Raises:
        InputError: If there is not one reward for each gradient, or fewer than two.

    References:
        Weaver and Tao (2001); Jang et al. (2019), "An introduction to probabilistic SNNs".
    """
    check_tensors(per_sample=per_sample, rewards=rewards)
    check_shapes(rewards=(rewards, per_sample.shape[:1]))
    _check_comparable(rewards)
    rewards = rewards.reshape(-1, *[1] * (per_sample.dim() - 1))
    squares = per_sample.square()
    weight = _sum_of_others(squares)
    baseline = torch.where(weight > 0, _sum_of_others(squares * rewards) / weight, 0.0)
    return (per_sample * (rewards - baseline)).mean(0)


def _sum_of_others(values: Tensor) -> Tensor:
    """Return the sum over all other trials, from both sides: the total minus its own would cancel."""
    nothing = torch.zeros_like(values[:1])
    before = torch.cat([nothing, values[:-1].cumsum(0)])
    behind = torch.cat([values[1:].flip(0).cumsum(0).flip(0), nothing])
    return before + behind


def _check_comparable(rewards: Tensor) -> None:
    if len(rewards) < 2:
        raise InputError("rewards", expected="at least two trials", got=f"{len(rewards)}")


def _group_mean(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    same = (groups.unsqueeze(0) == groups.unsqueeze(1)).to(values.dtype)
    size = same.sum(1).reshape(-1, *[1] * (values.dim() - 1))
    return same @ values / size, size


def _mean_of_others(values: Tensor, groups: Tensor) -> Tensor:
    mean, size = _group_mean(values, groups)
    return (mean * size - values) / (size - 1).clamp_min(1)
