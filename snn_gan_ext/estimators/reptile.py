r"""How an initialisation learns from what became of it in several tasks.

Weights are tensors by name: of the start ``[...]``, and after within-task training of N tasks ``[N,
...]``.
"""

from collections.abc import Mapping

from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["maml_update", "reptile_update"]


def reptile_update(
    start: Mapping[str, Tensor], adapted: Mapping[str, Tensor], rate: float
) -> dict[str, Tensor]:
    r"""Moves the start towards the mean of the adapted weights.

    .. math:: \theta \leftarrow \theta + \mu \Bigl(\frac1N \sum_n \varphi^{(n)} - \theta\Bigr)

    Args:
        start: :math:`\theta`, ``[...]`` by name.
        adapted: :math:`\varphi^{(n)}`, ``[N, ...]`` by name.
        rate: :math:`\mu`.

    Raises:
        InputError: if names or shapes do not go together.

    References:
        SpikeGAN paper, eq. 14-15, which as printed subtract the adapted weights themselves instead of
        the difference; Nichol, Achiam and Schulman (2018), "On first-order meta-learning algorithms".
    """
    _check(start, adapted)
    return {name: theta + rate * (adapted[name].mean(0) - theta) for name, theta in start.items()}


def maml_update(
    start: Mapping[str, Tensor], gradients: Mapping[str, Tensor], rate: float
) -> dict[str, Tensor]:
    r"""Moves the start along the mean of the gradients that its adapted weights see on new data.

    .. math:: \theta \leftarrow \theta + \mu \frac1N \sum_n \nabla_{\varphi} F^{(n)}(\varphi^{(n)})

    That is MAML without its second derivatives.

    Args:
        start: :math:`\theta`, ``[...]`` by name.
        gradients: of what is to grow, ``[N, ...]`` by name.
        rate: :math:`\mu`.

    Raises:
        InputError: if names or shapes do not go together.

    References:
        SpikeGAN paper, eq. 13; Finn, Abbeel and Levine (2017), "Model-agnostic meta-learning",
        section 5.2.
    """
    _check(start, gradients)
    return {name: theta + rate * gradients[name].mean(0) for name, theta in start.items()}


def _check(start: Mapping[str, Tensor], tasks: Mapping[str, Tensor]) -> None:
    for name, theta in start.items():
        shape = tasks[name].shape if name in tasks else None
        if shape is None or shape[1:] != theta.shape or not shape[0]:
            raise InputError(
                f"weights of the tasks, {name!r}",
                expected=f"[N >= 1, {', '.join(map(str, theta.shape))}]",
                got="none" if shape is None else f"{list(shape)}",
            )
