r"""Learning signals for the hidden neurons of a network that is trained by maximum likelihood.

The visible spikes :math:`\upsilon` are given, the hidden spikes :math:`h` drawn from the network.
Training maximises :math:`\mathcal L = E_h \sum_t \ell_t`, a lower bound of :math:`\log p(\upsilon)`,

.. math:: \ell_t = \sum_{i \in V} \log p(\upsilon_{i,t} \mid u_{i,t}) \qquad \text{(eq. 17)}.

Visible neurons learn by their score, hidden ones by REINFORCE: their score at a step times a signal for
that step (eq. 16). Signals are ``[T, B]``.
"""

from typing import Literal

import torch
from torch import Tensor

from snn_gan_ext.errors import InputError
from snn_gan_ext.functional import glm
from snn_gan_ext.validation import between, check_setting, check_shapes, check_tensors, one_of

__all__ = ["Signal", "advantage_over_others", "learning_signal", "sparsity_cost"]

Signal = Literal["reward_to_go", "per_step", "none"]


def learning_signal(log_likelihood: Tensor, signal: Signal, delay: int) -> Tensor:
    r"""Return the credit of a hidden spike at each step, ``[T, B]``.

    =================== ====================================================== ====================
    signal              credit of a spike at :math:`t`                         unbiased
    =================== ====================================================== ====================
    ``reward_to_go``    :math:`\sum_{t' \ge t + d} \ell_{t'}`                  yes
    ``per_step``        :math:`\ell_t`, eq. 16 of the paper                    no: a delayed spike
                                                                               had no part in it
    ``none``            0: hidden neurons do not learn                         no
    =================== ====================================================== ====================

    Args:
        log_likelihood: Log-likelihood :math:`\ell_t` of each step and trial ``[T, B]``.
        signal: One of the names above.
        delay: Time steps from a hidden spike to the visible neurons.

    Raises:
        InputError: If the signal is unknown.

    References:
        SpikeGAN paper, appendix A, eq. 16-17.
    """
    check_shapes(log_likelihood=(log_likelihood, "TB"))
    check_setting("signal", signal, one_of(Signal))
    if signal == "per_step":
        return log_likelihood
    if signal == "none":
        return torch.zeros_like(log_likelihood)
    to_go = log_likelihood.flip(0).cumsum(0).flip(0)
    return torch.cat([to_go[delay:], torch.zeros_like(to_go[:delay])])


def advantage_over_others(signal: Tensor, copies: int) -> Tensor:
    """Return a signal minus the mean over other trials at the same step, which keeps it unbiased.

    Args:
        signal: Signal ``[T, copies * B]``; trials ``b``, ``B + b``, ... are copies of one datum.
        copies: Number of hidden draws for each datum. With 1, the batch's other trials are the others.

    Raises:
        InputError: If there are fewer than two trials, or the batch is no multiple of ``copies``.
    """
    check_shapes(signal=(signal, "TB"))
    steps, trials = signal.shape
    if copies < 1 or trials % copies or trials < 2:
        expected = "a divisor of a batch of at least two trials"
        raise InputError("copies", expected=expected, got=f"{copies} of {trials}")
    group = signal.reshape(steps, copies if copies > 1 else trials, -1)
    others = (group.sum(1, keepdim=True) - group) / (group.shape[1] - 1)
    return (group - others).reshape(steps, trials)


def sparsity_cost(spikes: Tensor, potentials: Tensor, rate: float) -> Tensor:
    r"""Return the log-ratio of hidden spikes' probability to that at a target rate, ``[T, B]``.

    .. math:: \sum_{i \in H} \log p(h_{i,t} \mid u_{i,t}) - \log \mathrm{Bernoulli}(h_{i,t}; r)

    Subtracted from the learning signal, it pulls hidden neurons towards the rate.

    Args:
        spikes: Hidden spikes ``[T, B, N]``.
        potentials: Membrane potentials ``[T, B, N]``.
        rate: Target probability of a spike per time step.

    Raises:
        InputError: If ``rate`` is not above 0 and below 1.

    References:
        Jang et al., "An introduction to probabilistic SNNs" (2019), the paper's [4].
    """
    check_tensors(spikes=spikes, potentials=potentials)
    check_setting("rate", rate, between(0, 1, closed="neither"))
    wanted = torch.logit(potentials.new_tensor(rate)).expand_as(potentials)
    return glm.step_log_likelihood(spikes, potentials) - glm.step_log_likelihood(spikes, wanted)
