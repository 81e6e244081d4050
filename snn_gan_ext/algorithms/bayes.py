"""Bayes-SpikeGAN (section V): particles that sample a posterior over the generator's parameters."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.state import AdversarialState
from snn_gan_ext.errors import InputError
from snn_gan_ext.estimators import svgd
from snn_gan_ext.estimators.svgd import Kernel
from snn_gan_ext.types import Batch, Discriminator, Generator
from snn_gan_ext.validation import Rule, between, check_settings, one_of

__all__ = ["BayesSpikeGAN", "check_shares"]


def check_shares(batch: int, particles: int) -> None:
    """Check that all particles get the same number of trials, two or more.

    Raises:
        InputError: If they do not.
    """
    if batch < 2 * particles or batch % particles:
        raise InputError(
            "batch",
            expected=f"a multiple of the {particles} particles, two trials each or more",
            got=f"{batch}",
        )


@dataclass(frozen=True, kw_only=True)
class BayesSpikeGAN(SpikeGAN):
    r"""Algorithm 2: J generators against one discriminator, moved by SVGD.

    The discriminator descends the mean of its losses on the particles' samples. `SpikeGAN` estimates
    each particle's gradient from that particle's share of the batch. The particles then move along

    .. math:: \phi_j \leftarrow \phi_j + \eta \sum_{j'} \kappa(\phi_j, \phi_{j'})
        \nabla_{\phi_{j'}} \bigl(\log p(\phi_{j'}) + E \log D_\Phi(\tilde x)\bigr)
        + \nabla_{\phi_{j'}} \kappa(\phi_j, \phi_{j'}),

    over the kernel's row sum (see `snn_gan_ext.estimators.svgd.svgd_direction`), through Adam.

    With ``kernel="none"`` they are J independent generators that share a discriminator.

    Attributes:
        kernel: Kernel between particles: ``unit`` (bandwidth 1), ``median`` or ``none``.
        kernel_fraction: Share of the run in which the kernel acts. Later each particle is on its own: a
            wide kernel finds modes but keeps the particles from settling in them.
        prior_std: Standard deviation of a Gaussian prior around 0 on every parameter. By default the
            prior is constant and improper, as in the paper.

    Raises:
        InputError: If a setting is out of its range, or two settings exclude each other.

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
        self, generator: Generator, discriminator: Discriminator, rng: torch.Generator
    ) -> AdversarialState[Generator]:
        """Return the state of a new run, as `SpikeGAN.init` does.

        Args:
            generator: Particles, a `snn_gan_ext.networks.ensembles.Ensemble`.
            discriminator: Network that returns logits ``[B]`` for decoded trials and labels.
            rng: Random source of all noise of the run, on the networks' device.

        Raises:
            InputError: If the generator's parameters do not have its ``size`` as their first axis.
        """
        size = generator.size
        if any(parameter.shape[:1] != (size,) for parameter in generator.parameters()):
            raise InputError(
                "generator",
                expected="an Ensemble of particles",
                got=type(generator).__name__,
                cure="build one from J generators: Ensemble([...])",
            )
        return super().init(generator, discriminator, rng)

    def update(self, state: AdversarialState[Generator], batch: Batch) -> dict[str, float]:
        """Train the discriminator and all particles once, in place.

        Returns:
            Metrics of `SpikeGAN.update`, and ``particle_spread``: root mean square distance of the
            particles' parameters from their mean.

        Raises:
            InputError: If the batch has fewer than two trials a particle, or unequal shares.
        """
        check_shares(batch.spikes.shape[1], state.generator.size)
        metrics = super().update(state, batch)
        points = _flat({name: p.detach() for name, p in state.generator.named_parameters()})
        spread = (points - points.mean(0)).square().sum(1).mean().sqrt()
        return {**metrics, "particle_spread": float(spread)}

    def _ascend(self, state: AdversarialState[Generator], gradients: Mapping[str, Tensor]) -> None:
        parameters = dict(state.generator.named_parameters())
        points = _flat({name: p.detach() for name, p in parameters.items()})
        # `gradients` are means over the whole batch, and a particle has one share of it.
        posterior = state.generator.size * _flat({name: gradients[name] for name in parameters})
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
    """Return tensors ``[J, ...]`` side by side, ``[J, P]``."""
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], 1)
