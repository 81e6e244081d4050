r"""Stein variational gradient descent: particles that climb a posterior and repel each other.

Particles are parameter vectors ``[J, P]``. `snn_gan_ext.networks.ensembles` stores them as one tensor
for each parameter, with the particles as first axis.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from snn_gan_ext.validation import check_setting, check_shapes, one_of

__all__ = ["Kernel", "KernelMatrix", "gaussian_kernel", "svgd_direction"]

Kernel = Literal["unit", "median", "none"]


class KernelMatrix(NamedTuple):
    r"""Values :math:`\kappa(\phi_j, \phi_{j'})` ``[J, J]``, and :math:`h^2`; infinite for ``none``."""

    values: Tensor
    squared_bandwidth: Tensor


def gaussian_kernel(points: Tensor, kernel: Kernel) -> KernelMatrix:
    r"""Return the kernel :math:`\kappa(\phi, \phi') = \exp(-\lVert\phi - \phi'\rVert^2 / h^2)`.

    ==================== ==========================================================================
    kernel               :math:`h^2`
    ==================== ==========================================================================
    ``unit``             1, as in the SpikeGAN paper
    ``median``           the median squared distance of two particles over :math:`\log(J + 1)`:
                         a particle's neighbours weigh about as much as itself
    ``none``             0: each particle for itself
    ==================== ==========================================================================

    Args:
        points: Particles ``[J, P]``.
        kernel: One of the names above.

    Raises:
        InputError: If the kernel is unknown, or the particles are no matrix.

    References:
        SpikeGAN paper, below eq. 12; Liu and Wang (2016), "Stein variational gradient descent".
    """
    check_shapes(particles=(points, "JP"))
    check_setting("kernel", kernel, one_of(Kernel))
    particles = len(points)
    if kernel == "none" or (kernel == "median" and particles < 2):
        return KernelMatrix(torch.eye(particles).to(points), points.new_tensor(torch.inf))
    squared = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    bandwidth = points.new_ones(())
    if kernel == "median":
        apart = squared[torch.triu_indices(particles, particles, 1).unbind()]
        bandwidth = apart.median() / math.log(particles + 1)
        bandwidth = bandwidth.clamp_min(torch.finfo(points.dtype).tiny)
    return KernelMatrix(torch.exp(-squared / bandwidth), bandwidth)


def svgd_direction(points: Tensor, gradients: Tensor, kernel: Kernel) -> Tensor:
    r"""Return the direction of each particle ``[J, P]``: uphill with its neighbours, away from them.

    .. math:: \frac{\sum_{j'} \kappa(\phi_j, \phi_{j'})\, g_{j'}
        + \nabla_{\phi_{j'}} \kappa(\phi_j, \phi_{j'})}{\sum_{j'} \kappa(\phi_j, \phi_{j'})}, \qquad
        \nabla_{\phi_{j'}} \kappa(\phi_j, \phi_{j'}) =
        \frac{2}{h^2} (\phi_j - \phi_{j'})\, \kappa(\phi_j, \phi_{j'}).

    The numerator is eq. 12. Its kernel's gradient is by the *other* particle: a repulsion. Division by
    the row sum gives a lonely particle steps as long as those of one in a crowd.

    Args:
        points: Particles ``[J, P]``.
        gradients: Gradients :math:`g_j` of each particle's log-posterior ``[J, P]``.
        kernel: Name of the kernel, see `gaussian_kernel`.

    Raises:
        InputError: If the shapes differ or the kernel is unknown.

    References:
        SpikeGAN paper, eq. 12.
    """
    check_shapes(particles=(points, "JP"), gradients=(gradients, "JP"))
    values, bandwidth = gaussian_kernel(points, kernel)
    # sum_j' 2 / h^2 (phi_j - phi_j') kappa, without a tensor [J, J, P]; around the mean, as large
    # numbers in common would swallow small differences.
    total = values.sum(1, keepdim=True)
    around = points - points.mean(0)
    repulsion = 2 / bandwidth * (around * total - values @ around)
    return (values @ gradients + repulsion) / total
