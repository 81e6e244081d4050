"""A spiking generator of recorded populations: coupled neurons that follow a drive."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from snn_gan_ext.functional import bases
from snn_gan_ext.layers.glm import GLMLayer
from snn_gan_ext.networks.generators import LabelledGenerator
from snn_gan_ext.networks.glm import GLMNetwork
from snn_gan_ext.validation import (
    check_positive,
    check_setting,
    check_shapes,
    check_values,
    plain,
    whole,
)

__all__ = ["PopulationGenerator"]


class PopulationGenerator(LabelledGenerator):
    r"""Coupled neurons that follow a drive, as a coupled GLM of recorded neurons.

    .. math:: u_{i,t} = d_{i,y,t} + \sum_m v_{m,i,y}\, z_m + \text{feedback} + \text{coupling}

    The drive ``d`` is one number for each neuron and label or, with ``by_step``, for each step, too:
    the log-odds of the peristimulus time histogram (PSTH). Latent bits ``z`` are tossed once a trial:
    gains and other influences that all neurons share. Hidden neurons hear the past read-out spikes and
    the bits, and act on the read-outs within the step: a nonlinear coupling.

    Args:
        classes: Number of labels. With one class, labels may be None.
        readout: Number of neurons ``N``.
        num_steps: Number of time steps ``T`` of a trial.
        by_step: Whether the drive differs from step to step.
        coupling: Neurons that hear each other's past, as for `GLMLayer`.
        same_step: Neurons that hear each other within a step, as for `GLMLayer`.
        counts: Entries of the table of earlier spikes within a step, as for `GLMLayer`.
        basis: Temporal basis ``[K, L]`` of feedback and coupling; five raised cosines over 20 steps by
            default.
        hidden: Number of hidden neurons.
        latent_bits: Number of latent bits.
        gate_latent: Whether a bit has one input for each class.
        latent_std: Standard deviation of the initial weights of bits.
        coupling_std: Standard deviation of the initial weights of feedback and coupling. With 0, as
            maximum likelihood may start, neurons hear nothing at first.
        hidden_bias: Initial bias of hidden neurons.
        readout_bias: Initial bias of the neurons.
        rng: Random source of the initial weights.

    Raises:
        InputError: If a size is out of its range, or coupling is refused by `GLMLayer`.

    References:
        Pillow et al. (2008); SpikeGAN paper, eq. 2-4.
    """

    def __init__(
        self,
        classes: int,
        readout: int,
        num_steps: int,
        *,
        by_step: bool = False,
        coupling: bool | Tensor | None = True,
        same_step: Literal["triangular"] | Sequence[int] | Tensor | None = None,
        counts: int = 0,
        basis: Tensor | None = None,
        hidden: int = 0,
        latent_bits: int = 0,
        gate_latent: bool = False,
        latent_std: float = 0.1,
        coupling_std: float = 0.0,
        hidden_bias: float = -2.0,
        readout_bias: float = -3.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_positive(classes=classes, readout=readout, num_steps=num_steps)
        check_setting("latent_bits", latent_bits, whole(0))
        check_setting("hidden", hidden, whole(0))
        self.classes, self.num_steps, self.by_step = classes, num_steps, by_step
        self.latent_bits, self.gate_latent, self.hidden_delay = latent_bits, gate_latent, 0
        basis = bases.raised_cosine_basis(5, 20) if basis is None else basis
        drives = classes * num_steps if by_step else classes
        latent = latent_bits * classes if gate_latent else latent_bits
        layers, wiring = {}, {"readout": ("drive", "latent", *(["hidden"] if hidden else []))}
        if hidden:
            sources = latent + readout
            layers["hidden"] = GLMLayer(
                sources, hidden, basis=basis, delay=0, weight_std=0.1, bias_init=hidden_bias, rng=rng
            )
            wiring["hidden"] = ("latent", "readout")
        layers["readout"] = GLMLayer(
            drives + latent + hidden,
            readout,
            basis=bases.identity_basis(1),
            feedback_basis=basis,
            delay=0,
            coupling=coupling,
            same_step=same_step,
            counts=counts,
            weight_std=latent_std,
            bias_init=readout_bias,
            rng=rng,
        )
        layer = layers["readout"]
        with torch.no_grad():
            layer.weight[:, :drives] = 0.0
            for own in (layer.feedback, layer.coupling):
                if own is not None and coupling_std:
                    own.normal_(0.0, coupling_std, generator=rng)
            if layer.coupling is not None:
                layer.coupling.mul_(layer.get_buffer("coupling_mask"))
        self.network = GLMNetwork({"drive": drives, "latent": latent}, layers, wiring)

    def noise(self, batch: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Draw uniforms in [0, 1), as `LabelledGenerator` does, beside the time ``t / T``.

        Some steps of it know from ``time`` ``[T, B, 1]`` which ones they are.
        """
        noise = super().noise(batch, rng)
        time = torch.arange(self.num_steps).to(noise["readout"]) / self.num_steps
        return {"time": time[:, None, None].expand(-1, batch, 1), **noise}

    def exogenous(self, labels: Tensor | None, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's inputs: ``drive`` and ``latent`` spikes ``[T, B, size]``."""
        inputs = super().exogenous(labels, noise)
        drive = inputs["label"]
        if self.by_step:
            steps = torch.arange(self.num_steps, device=drive.device)
            now = (noise["time"] * self.num_steps).round() == steps
            drive = (drive.unsqueeze(-1) * now.unsqueeze(-2)).flatten(2)
        return {"drive": drive, "latent": inputs["latent"]}

    @torch.no_grad()
    def initialise_rates(self, rates: Tensor, rng: torch.Generator | None = None) -> None:
        """Set the drive so that neurons fire at given rates, bits and hidden neurons included.

        The drive starts at the log-odds of the rates. With bits or hidden neurons it is then moved, a
        few times, by the difference between these log-odds and those of trials that are drawn.

        Args:
            rates: Probability of a spike ``[T, classes, N]``, above 0 and below 1. Without ``by_step``
                their mean over time counts.
            rng: Random source of those trials; torch's global one by default.

        Raises:
            InputError: If the rates have another shape, or one is not above 0 and below 1.
        """
        layer = self.network.layers["readout"]
        assert isinstance(layer, GLMLayer)
        layer.check_parameters()
        check_shapes(rates=(rates, (self.num_steps, self.classes, *self.shape)))
        rates = plain(rates).to(layer.weight)
        if not self.by_step:
            rates = rates.mean(0, keepdim=True)
        check_values("rates", rates, torch.logit(rates).isfinite(), "probabilities above 0 and below 1")
        drive = torch.logit(rates).transpose(0, 1).flatten(0, 1)  # by class, then by step
        layer.bias.zero_()
        layer.weight[0, : len(drive)] = drive
        others = layer.weight.shape[1] > len(drive)
        for _ in range(8 if others else 0):
            labels = torch.arange(self.classes, device=drive.device).repeat_interleave(200)
            found = self(labels, rng).unflatten(1, (self.classes, 200)).mean(2)  # [T, classes, N]
            found = found if self.by_step else found.mean(0, keepdim=True)
            found = found.lerp(rates, 0.1)  # finite log-odds
            layer.weight[0, : len(drive)] += drive - torch.logit(found).transpose(0, 1).flatten(0, 1)
