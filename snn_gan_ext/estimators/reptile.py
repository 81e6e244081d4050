r"""Updates of an initialisation from the results of within-task training.

Weights are tensors by name: ``[...]`` of the initialisation, ``[N, ...]`` after training on N tasks.
"""

from collections.abc import Mapping

from torch import Tensor

from snn_gan_ext.errors import InputError

__all__ = ["maml_update", "reptile_update"]


def reptile_update(
    initialisation: Mapping[str, Tensor], adapted: Mapping[str, Tensor], rate: float
) -> dict[str, Tensor]:
    r"""Move an initialisation towards the mean of the adapted weights.

    .. math:: \theta \leftarrow \theta + \mu \Bigl(\frac1N \sum_n \varphi^{(n)} - \theta\Bigr)

    Args:
        initialisation: Weights :math:`\theta`, ``[...]`` by name.
        adapted: Weights :math:`\varphi^{(n)}` after training on each task, ``[N, ...]`` by name.
        rate: Rate :math:`\mu`.

    Returns:
        New weights by name.

    Raises:
        InputError: If names or shapes do not match.

    References:
        SpikeGAN paper, eq. 14-15, where the adapted weights stand in place of the difference;
        Nichol, Achiam and Schulman (2018), "On first-order meta-learning algorithms".
    """
    _check(initialisation, adapted)
    return {
        name: theta + rate * (adapted[name].mean(0) - theta) for name, theta in initialisation.items()
    }


def maml_update(
    initialisation: Mapping[str, Tensor], gradients: Mapping[str, Tensor], rate: float
) -> dict[str, Tensor]:
    r"""Move an initialisation along the mean gradient of the adapted weights on new data.

    .. math:: \theta \leftarrow \theta + \mu \frac1N \sum_n \nabla_{\varphi} F^{(n)}(\varphi^{(n)})

    This is MAML without its second derivatives.

    Args:
        initialisation: Weights :math:`\theta`, ``[...]`` by name.
        gradients: Gradients of each task's objective F, ``[N, ...]`` by name.
        rate: Rate :math:`\mu`.

    Returns:
        New weights by name.

    Raises:
        InputError: If names or shapes do not match.

    References:
        SpikeGAN paper, eq. 13; Finn, Abbeel and Levine (2017), "Model-agnostic meta-learning",
        section 5.2.
    """
    _check(initialisation, gradients)
    return {name: theta + rate * gradients[name].mean(0) for name, theta in initialisation.items()}


def _check(initialisation: Mapping[str, Tensor], tasks: Mapping[str, Tensor]) -> None:
    for name, theta in initialisation.items():
        shape = tasks[name].shape if name in tasks else None
        if shape is None or shape[1:] != theta.shape or not shape[0]:
            raise InputError(
                f"weights of the tasks, {name!r}",
                expected=f"[N >= 1, {', '.join(map(str, theta.shape))}]",
                got="none" if shape is None else f"{list(shape)}",
            )
