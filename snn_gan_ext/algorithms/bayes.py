"""Bayes-SpikeGAN (section V): particles that sample a posterior over the generator's parameters."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.state import AdversarialState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import svgd
from snn_gan_ext.estimators.svgd import Kernel
from snn_gan_ext.types import Batch, Discriminator, Generator, setting
from snn_gan_ext.validation import Rule, between

__all__ = ["BayesSpikeGAN", "check_shares"]

POSITIVE = Rule("above 0", lambda x: type(x) in (int, float) and x > 0)  # or infinite


def check_shares(batch: int, particles: int) -> None:
    """Check that all particles get the same number of trials, two or more.

    Raises:
        InputError: If they do not.
    """
    if batch < 2 * particles or batch % particles:
        expected = f"a multiple of the {particles} particles, two trials each or more"
        raise InputError("batch", expected=expected, got=f"{batch}")


@dataclass(frozen=True, kw_only=True)
class BayesSpikeGAN(SpikeGAN):
    r"""Algorithm 2: J generators against one discriminator, moved by SVGD.

    The discriminator descends the mean of its losses on the particles' samples. `SpikeGAN` estimates
    each particle's gradient from that particle's share of the batch. The particles then move along

    .. math:: \phi_j \leftarrow \phi_j + \eta \sum_{j'} \kappa(\phi_j, \phi_{j'})
        \nabla_{\phi_{j'}} \bigl(\log p(\phi_{j'}) + E \log D_\Phi(\tilde x)\bigr)
        + \nabla_{\phi_{j'}} \kappa(\phi_j, \phi_{j'}),

    over the kernel's row sum (see `snn_gan_ext.estimators.svgd.svgd_direction`), through Adam. Each has
    an equal share of the batch, two trials or more. The metric ``particle_spread`` is the root mean
    square distance of the particles' parameters from their mean.

    Attributes:
        kernel: Kernel between particles, see `snn_gan_ext.estimators.svgd.gaussian_kernel`. With
            ``none`` they are J independent generators that share a discriminator.
        kernel_fraction: Share of the run in which the kernel acts. Later each particle is on its own: a
            wide kernel finds modes but keeps the particles from settling in them.
        prior_std: Standard deviation of a Gaussian prior around 0 on every parameter. By default the
            prior is constant and improper, as in the paper.

    References:
        SpikeGAN paper, section V, eq. 9-12 and Algorithm 2. In eq. 10-11 read "+ KL", without which the
        free energy has no minimum at eq. 9.
    """

    kernel: Kernel = "unit"
    kernel_fraction: float = setting(1.0, between(0, 1))
    prior_std: float = setting(math.inf, POSITIVE)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_baseline("particles")

    def _check_pair(self, generator: Generator, discriminator: Discriminator) -> None:
        super()._check_pair(generator, discriminator)
        if any(parameter.shape[:1] != (generator.size,) for parameter in generator.parameters()):
            got, cure = type(generator).__name__, "build one from J generators: Ensemble([...])"
            raise InputError("generator", expected="an Ensemble of particles", got=got, cure=cure)

    def _train(self, state: AdversarialState[Generator], batch: Batch) -> dict[str, Tensor]:
        self._check_batch(batch)
        check_shares(batch.spikes.shape[1], state.generator.size)
        metrics = super()._train(state, batch)
        points = _flat(state.generator.parameters())
        spread = (points - points.mean(0)).square().sum(1).mean().sqrt()
        return {**metrics, "particle_spread": spread}

    def _ascend(self, state: AdversarialState[Generator], gradients: Mapping[str, Tensor]) -> None:
        parameters = dict(state.generator.named_parameters())
        points = _flat(parameters.values())
        # `gradients` are means over the whole batch, and a particle has one share of it.
        posterior = state.generator.size * _flat(gradients[name] for name in parameters)
        posterior = posterior - points / self.prior_std**2
        kernel = self.kernel if state.updates < self.kernel_fraction * self.updates else "none"
        direction = svgd.svgd_direction(points, posterior, kernel)
        parts = torch.split(direction, [p[0].numel() for p in parameters.values()], 1)
        moves = zip(parameters.items(), parts, strict=True)
        super()._ascend(state, {name: part.reshape(p.shape) for (name, p), part in moves})


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors ``[J, ...]`` side by side, ``[J, P]``, without a graph."""
    return torch.cat([tensor.detach().flatten(1) for tensor in tensors], 1)
