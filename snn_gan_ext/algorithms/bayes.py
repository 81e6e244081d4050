"""Bayes-SpikeGAN (section V): particles that sample a posterior over the generator's parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.spikegan import Batch, SpikeGAN, SpikeGANState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import svgd
from snn_gan_ext.estimators.svgd import Kernel
from snn_gan_ext.settings import Rule, between, check_settings, one_of

__all__ = ["BayesSpikeGAN", "check_shares"]


def check_shares(batch: int, particles: int) -> None:
    """Makes sure that each particle has two trials or more, and all as many.

    Raises:
        InputError: if not.
    """
    if batch < 2 * particles or batch % particles:
        raise InputError(
            "batch",
            expected=f"a multiple of the {particles} particles, two trials each or more",
            got=f"{batch}",
        )


@dataclass(frozen=True, kw_only=True)
class BayesSpikeGAN(SpikeGAN):
    r"""One step of Algorithm 2: J generators against one discriminator, moved by SVGD.

    The discriminator descends the mean of its losses on the particles' samples. Each particle's
    gradient is then estimated as `SpikeGAN` estimates it, from its own share of the batch (advantages
    are taken within the share), and the particles go along

    .. math:: \phi_j \leftarrow \phi_j + \eta \sum_{j'} \kappa(\phi_j, \phi_{j'})
        \nabla_{\phi_{j'}} \bigl(\log p(\phi_{j'}) + E \log D_\Phi(\tilde x)\bigr)
        + \nabla_{\phi_{j'}} \kappa(\phi_j, \phi_{j'}),

    over the kernel's row sum (see `snn_gan_ext.estimators.svgd.svgd_direction`), into Adam.

    With ``kernel="none"`` they are J independent generators that share a discriminator.

    Attributes:
        kernel: printed (bandwidth 1), median or none.
        kernel_fraction: share of the run in which the kernel acts, before each particle is on its own.
            A wide kernel finds modes, and keeps the particles from settling in them.
        prior_std: standard deviation of a Gaussian prior on every parameter, around 0; by default the
            prior is improper and constant, as in the paper.

    Raises:
        InputError: if a setting has no meaning, or two of them cannot go together.

    References:
        SpikeGAN paper, section V, eq. 9-12 and Algorithm 2. In eq. 10-11 read "+ KL", without which the
        free energy has no minimum at eq. 9.
    """

    kernel: Kernel = "unit"
    kernel_fraction: float = 1.0
    prior_std: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(
            self,
            kernel=one_of(Kernel),
            kernel_fraction=between(0, 1),
            prior_std=Rule("above 0", lambda x: type(x) in (int, float) and x > 0),  # or infinite
        )
        if self.baseline == "variance_minimising":
            raise InputError(
                "baseline", expected="one number a trial", got=self.baseline, cure="take leave_one_out"
            )

    def init(
        self, generator: nn.Module, discriminator: nn.Module, rng: torch.Generator
    ) -> SpikeGANState:
        """As `SpikeGAN.init`, with a `snn_gan_ext.networks.ensembles.Ensemble` as generator.

        Raises:
            InputError: if the generator's parameters do not have its ``size`` as their first axis.
        """
        size = getattr(generator, "size", None)
        if any(parameter.shape[:1] != (size,) for parameter in generator.parameters()):
            raise InputError(
                "generator",
                expected="a Ensemble of particles",
                got=type(generator).__name__,
                cure="make one of J generators: Ensemble([...])",
            )
        return super().init(generator, discriminator, rng)

    def update(self, state: SpikeGANState, batch: Batch) -> dict[str, float]:
        """One adversarial step of all particles, in place.

        Returns:
            As `SpikeGAN.update`, and ``particle_spread``: root mean square distance of the particles'
            parameters from their mean.

        Raises:
            InputError: if the batch has fewer than two trials a particle, or no equal share for each.
        """
        size: Any = state.generator.size
        check_shares(len(batch.labels), size)
        metrics = super().update(state, batch)
        points = _flat({name: p.detach() for name, p in state.generator.named_parameters()})
        spread = (points - points.mean(0)).square().sum(1).mean().sqrt()
        return {**metrics, "particle_spread": float(spread)}

    def _ascend(self, state: SpikeGANState, gradients: Mapping[str, Tensor]) -> None:
        parameters = dict(state.generator.named_parameters())
        size = next(iter(parameters.values())).shape[0]
        points = _flat({name: p.detach() for name, p in parameters.items()})
        # `gradients` are means over the whole batch, of which a particle has one share.
        posterior = size * _flat({name: gradients[name] for name in parameters})
        posterior = posterior - points / self.prior_std**2
        kernel = self.kernel if state.updates < self.kernel_fraction * self.updates else "none"
        direction = svgd.svgd_direction(points, posterior, kernel)
        parts = torch.split(direction, [p[0].numel() for p in parameters.values()], 1)
        super()._ascend(
            state,
            {
                name: part.reshape(p.shape)
                for part, (name, p) in zip(parts, parameters.items(), strict=True)
            },
        )


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    """Tensors ``[J, ...]`` side by side, ``[J, P]``."""
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], 1)
