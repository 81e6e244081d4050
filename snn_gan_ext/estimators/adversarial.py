"""The two sides of the adversarial objective (eq. 1), as functions of the discriminator's logits.

``D = sigmoid(logit)`` is the probability that a trial is real. Everything is computed from the logit,
so that a certain discriminator never yields an infinite number.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.settings import check_setting, one_of

__all__ = ["Objective", "discriminator_loss", "generator_reward", "r1_penalty"]

Objective = Literal["saturating", "non_saturating", "jeffreys"]

LARGEST_LOG_RATIO = 3.0


def generator_reward(fake_logits: Tensor, objective: Objective) -> Tensor:
    r"""What the generator maximises for each trial, ``[B]``.

    ``saturating``: :math:`-\log(1 - D)`, the printed objective (eq. 1 with
    :math:`\psi_2(x) = \log(1 - x)`) with its sign turned, so that more is better.
    ``non_saturating``: :math:`\log D`, which keeps its slope while the discriminator is winning
    (section IV-B).
    ``jeffreys``: :math:`e^l + l` of the logit l, of at most 3 in the first term. Under the best
    discriminator :math:`l = \log(p / q)`, with p the data's law and q the generator's, and REINFORCE
    descends Jeffreys' divergence,

    .. math:: E_q\bigl[\bigl(\tfrac{p}{q} + \log\tfrac{p}{q}\bigr) \nabla \log q\bigr]
        = -\nabla \bigl(\mathrm{KL}(p \Vert q) + \mathrm{KL}(q \Vert p)\bigr).

    The first term makes a generator that cannot have the whole law cover it, where by :math:`\log D` it
    keeps to a part; the second has a slope where the first has none, far from the data.

    Args:
        fake_logits: the discriminator's logits for generated trials ``[B]``.
        objective: which of the three.

    Raises:
        InputError: if the objective is unknown.

    References:
        Che et al. (2017), "Maximum-likelihood augmented discrete generative adversarial networks", for
        the first term of ``jeffreys``.
    """
    check_setting("objective", objective, one_of(Objective))
    if objective == "saturating":
        return F.softplus(fake_logits)
    if objective == "jeffreys":
        return fake_logits.clamp(max=LARGEST_LOG_RATIO).exp() + fake_logits
    return F.logsigmoid(fake_logits)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, real_target: float = 1.0) -> Tensor:
    r"""Cross-entropy :math:`-E[\log D(x)] - E[\log(1 - D(\tilde x))]` (eq. 6).

    Args:
        real_logits: ``[B]``.
        fake_logits: ``[B]``.
        real_target: the label of real trials; below 1 it is one-sided label smoothing.

    Returns:
        A scalar.
    """
    real = F.binary_cross_entropy_with_logits(real_logits, torch.full_like(real_logits, real_target))
    return real + F.softplus(fake_logits).mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    r"""Squared slope of the logit at real data.

    .. math:: E\bigl[\lVert\nabla_x \mathrm{logit}(x)\rVert^2\bigr]

    Keeps the discriminator from becoming arbitrarily steep between real trials; without it REINFORCE
    learns from a signal that is nearly a step.

    Args:
        real_logits: ``[B]``, computed from ``real``.
        real: ``[..., B, N]`` with ``requires_grad``.

    Returns:
        A scalar, differentiable once more.

    References:
        Mescheder, Geiger and Nowozin (2018), "Which training methods for GANs do actually converge?"
        (there with a factor 1/2).
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return slope.square().sum() / len(real_logits)
