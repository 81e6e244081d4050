"""The two sides of the adversarial objective (eq. 1), as functions of the discriminator's logits.

``D = sigmoid(logit)`` is the probability that a trial is real. The logit of a certain discriminator is
finite.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from snn_gan_ext.functional.ttfs import clamp_passing
from snn_gan_ext.validation import check_setting, check_tensor, check_tensors, one_of

__all__ = ["Objective", "discriminator_loss", "generator_reward", "r1_penalty"]

Objective = Literal["saturating", "non_saturating", "jeffreys"]


def generator_reward(fake_logits: Tensor, objective: Objective) -> Tensor:
    r"""Return the reward of each generated trial ``[B]``, which the generator maximises.

    - ``saturating``: :math:`-\log(1 - D)`, the objective of eq. 1 with its sign turned
      (:math:`\psi_2(x) = \log(1 - x)` there).
    - ``non_saturating``: :math:`\log D`, which keeps its slope while the discriminator wins (IV-B).
    - ``jeffreys``: :math:`e^l + l` of the logit l, with l at most 3 in the first term.

    The optimal discriminator has :math:`l = \log(p / q)`, with p the data's law and q the generator's.
    With ``jeffreys`` REINFORCE then descends Jeffreys' divergence,

    .. math:: E_q\bigl[\bigl(\tfrac{p}{q} + \log\tfrac{p}{q}\bigr) \nabla \log q\bigr]
        = -\nabla \bigl(\mathrm{KL}(p \Vert q) + \mathrm{KL}(q \Vert p)\bigr).

    The first term makes a limited generator cover the whole law, where :math:`\log D` settles on a
    part. The second has a slope far from the data, where the first has none.

    Args:
        fake_logits: Logits of generated trials ``[B]``.
        objective: One of the three names.

    Raises:
        InputError: If the objective is unknown.

    References:
        Che et al. (2017), "Maximum-likelihood augmented discrete generative adversarial networks" (the
        first term of ``jeffreys``).
    """
    check_tensor("fake_logits", fake_logits)
    check_setting("objective", objective, one_of(Objective))
    if objective == "saturating":
        return F.softplus(fake_logits)
    if objective == "jeffreys":
        return clamp_passing(fake_logits, high=3.0).exp() + fake_logits
    return F.logsigmoid(fake_logits)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, real_target: float = 1.0) -> Tensor:
    r"""Return the cross-entropy :math:`-E[\log D(x)] - E[\log(1 - D(\tilde x))]` (eq. 6), a scalar.

    Args:
        real_logits: Logits of real trials ``[B]``.
        fake_logits: Logits of generated trials ``[B]``.
        real_target: Target of real trials; below 1 it is one-sided label smoothing.
    """
    check_tensors(real_logits=real_logits, fake_logits=fake_logits)
    real = F.binary_cross_entropy_with_logits(real_logits, torch.full_like(real_logits, real_target))
    return real + F.softplus(fake_logits).mean()


def r1_penalty(real_logits: Tensor, real: Tensor) -> Tensor:
    r"""Return the squared slope of the logit at real data, a differentiable scalar.

    .. math:: E\bigl[\lVert\nabla_x \mathrm{logit}(x)\rVert^2\bigr]

    It bounds the discriminator's slope between real trials: REINFORCE would learn little from a step.

    Args:
        real_logits: Logits ``[B]``, computed from ``real``.
        real: Real trials ``[..., B, N]`` with ``requires_grad``.

    References:
        Mescheder et al. (2018), "Which training methods for GANs do actually converge?" (times 1/2).
    """
    (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    return slope.square().sum() / len(real_logits)
