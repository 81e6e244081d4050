r"""Updates of an initialisation from the results of within-task training.

Weights are tensors by name: ``[...]`` of the initialisation, ``[N, ...]`` after training on N tasks.
"""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from snn_gan_ext.validation import check_setting, check_shapes, check_tensor, check_tensors, one_of

__all__ = ["MetaUpdate", "update_initialisation"]

MetaUpdate = Literal["reptile", "maml"]


def update_initialisation(
    initialisation: Mapping[str, Tensor], tasks: Mapping[str, Tensor], rate: float, update: MetaUpdate
) -> dict[str, Tensor]:
    r"""Return an initialisation, by name, that has moved by the results of N tasks.

    =========== ==================================================================================
    update      new weights
    =========== ==================================================================================
    ``reptile`` :math:`\theta + \mu \bigl(\frac1N \sum_n \varphi^{(n)} - \theta\bigr)`
    ``maml``    :math:`\theta + \mu \frac1N \sum_n \nabla_{\varphi} F^{(n)}(\varphi^{(n)})`, on new data
                and without second derivatives
    =========== ==================================================================================

    Args:
        initialisation: Weights :math:`\theta`, ``[...]`` by name.
        tasks: Weights :math:`\varphi^{(n)}` after training on each task, or for ``maml`` the gradients
            of each task's objective F, ``[N, ...]`` by name.
        rate: Rate :math:`\mu`.
        update: ``reptile`` or ``maml``.

    Raises:
        InputError: If names or shapes do not match, or the update is unknown.

    References:
        SpikeGAN paper, eq. 13 (``maml``) and 14-15, where the adapted weights stand in place of the
        difference; Nichol et al. (2018), "On first-order meta-learning algorithms"; Finn et al. (2017),
        "Model-agnostic meta-learning", section 5.2.
    """
    check_setting("update", update, one_of(MetaUpdate))
    for name, theta in initialisation.items():
        check_tensor(f"initialisation's {name!r}", theta)
        if name in tasks:
            check_tensors(**{f"initialisation's {name!r}": theta, f"tasks' {name!r}": tasks[name]})
    shapes = {f"tasks' {n!r}": (tasks.get(n), ("N", *x.shape)) for n, x in initialisation.items()}
    check_shapes(**shapes)  # type: ignore[arg-type]
    means = {name: tasks[name].mean(0) for name in initialisation}
    if update == "maml":
        return {name: theta + rate * means[name] for name, theta in initialisation.items()}
    return {name: theta + rate * (means[name] - theta) for name, theta in initialisation.items()}
