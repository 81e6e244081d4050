"""Penalised maximum likelihood of all trials at once, for generators without hidden neurons."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from snn_gan_ext.algorithms.state import check_trials, set_gradients
from snn_gan_ext.errors import InputError
from snn_gan_ext.types import Batch, FreeRunner, check_rules, setting
from snn_gan_ext.validation import at_least, check_parts, whole

__all__ = ["FullLikelihood", "PenaltyTrial", "choose_penalty"]

MOST_BITS = 6  # 64 passes over the data
COUPLING = "coupling", "same_step", "count"


class PenaltyTrial(NamedTuple):
    """Outcome of one penalty: mean log-likelihood of a step, and disagreement of the free run."""

    penalty: float
    log_likelihood: float
    disagreement: float


@dataclass(frozen=True, kw_only=True)
class FullLikelihood:
    r"""Ascent of the mean log-likelihood of a step, minus L2 penalties, by L-BFGS.

    .. math:: \frac{1}{T B} \sum_{t,b,i} \log p(s_{i,t,b} \mid u_{i,t,b})
        - \frac{\lambda_c}{2} \lVert w_c \rVert^2 - \frac{\lambda_f}{2} \lVert w_f \rVert^2
        - \frac{\lambda_d}{2} \lVert w_d - w_d^0 \rVert^2

    with weights :math:`w_c` between neurons, :math:`w_f` of feedback, and :math:`w_d` of the drive,
    which starts at :math:`w_d^0`. The problem is convex, so one run of it is enough.

    With latent bits, the likelihood is summed over all their values: exact, at ``2 ** bits`` times the
    cost, and no longer convex.

    Attributes:
        iterations: Largest number of iterations.
        coupling_penalty: Penalty of weights between neurons.
        feedback_penalty: Penalty of feedback. Small: it keeps the weights of neurons
            that never fire twice in a row finite, and would blur a refractory time.
        drive_penalty: Penalty of all other weights, but for biases.
        values: Largest number of neurons times steps that are in memory at a time.

    Raises:
        InputError: If a setting is out of its range.

    References:
        Paninski (2004), "Maximum likelihood estimation of cascade point-process neural encoding
        models".
    """

    iterations: int = setting(150, whole(1))
    coupling_penalty: float = setting(0.0, at_least(0))
    feedback_penalty: float = setting(1e-5, at_least(0))
    drive_penalty: float = setting(0.0, at_least(0))
    values: int = setting(2**22, whole(1))

    def __post_init__(self) -> None:
        check_rules(self)

    def fit(self, network: FreeRunner, data: Batch, *, progress: bool = False) -> float:
        """Fit a generator in place; return the mean log-likelihood of a step, without penalties.

        Args:
            network: Generator of read-out neurons alone, such as `PopulationGenerator`.
            data: All trials ``[T, B, N]``; labels are None where the network uses none.
            progress: Whether to show a progress bar on a terminal.

        Raises:
            InputError: If the network has hidden neurons, or trials do not fit it.
        """
        check_trials(data, "data")
        expected = "a generator of GLM layers, such as PopulationGenerator"
        check_parts("network", network, expected, "network", "observe", "noise")
        if list(network.network.layers) != ["readout"]:
            expected, cure = "read-out neurons alone", "take MaximumLikelihood for hidden neurons"
            got = f"{list(network.network.layers)}"
            raise InputError("network", expected=expected, got=got, cure=cure)
        if (bits := getattr(network, "latent_bits", 0)) > MOST_BITS:
            cure = "take SpikeGAN, which draws bits"
            raise InputError("latent_bits", expected=f"at most {MOST_BITS}", got=f"{bits}", cure=cure)
        start = {name: p.detach().clone() for name, p in network.named_parameters()}
        learning = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.LBFGS(
            learning, max_iter=self.iterations, max_eval=2 * self.iterations, history_size=20,
            tolerance_change=1e-8, line_search_fn="strong_wolfe",
        )  # fmt: skip
        bar = tqdm(desc="likelihood", disable=None if progress else True, leave=False)

        def loss() -> float:
            likelihood, gradients = self._likelihood(network, data)
            penalty = self._penalise(network, start, gradients)
            set_gradients(network, gradients)
            bar.update()
            return penalty - likelihood

        with bar:
            optimizer.step(loss)  # type: ignore[no-untyped-call]
        return self._likelihood(network, data)[0]

    def _likelihood(self, network: FreeRunner, data: Batch) -> tuple[float, dict[str, Tensor]]:
        """Return the mean log-likelihood of a step, summed over latent bits, and its gradients."""
        total, gradients = 0.0, dict[str, Tensor]()
        patterns = _patterns(network)
        for part in self._parts(data, len(patterns)):
            noise = network.noise(part.spikes.shape[1])
            observed = [
                network.observe(part.spikes, part.labels, {**noise, **pattern(noise)})
                for pattern in patterns
            ]
            runs = [each.runs["readout"] for each in observed]
            joint = torch.stack([run.log_likelihood for run in runs]).double()
            total += float((joint.logsumexp(0) - math.log(len(patterns))).sum())
            shares = joint.softmax(0).to(part.spikes).unsqueeze(-1)  # of each pattern, given a trial
            for each, run, share in zip(observed, runs, shares, strict=True):
                for name, gradient in network.gradients(each, {"readout": run.score * share}).items():
                    gradients[name] = gradients[name] + gradient if name in gradients else gradient
        steps = data.spikes[..., 0].numel()
        return total / steps, {name: gradient / steps for name, gradient in gradients.items()}

    def _parts(self, data: Batch, patterns: int) -> Iterator[Batch]:
        trials = max(self.values // (data.spikes[:, 0].numel() * patterns), 1)
        labels: Sequence[Tensor | None]
        parts = data.spikes.split(trials, 1)  # type: ignore[no-untyped-call]
        labels = [None] * len(parts) if data.labels is None else data.labels.split(trials)  # type: ignore[no-untyped-call]
        return map(Batch, parts, labels)

    def _penalise(
        self, network: FreeRunner, start: dict[str, Tensor], gradients: dict[str, Tensor]
    ) -> float:
        """Take the slope of the penalties off the gradients; return the penalties."""
        total = 0.0
        penalties = dict.fromkeys(COUPLING, self.coupling_penalty) | {"feedback": self.feedback_penalty}
        for name, weight in network.named_parameters():
            kind = name.rsplit(".", 1)[-1]
            if kind == "bias":
                continue
            penalty = penalties.get(kind, self.drive_penalty)
            off = weight.detach() - (0 if kind in penalties else start[name])
            gradients[name] = gradients[name] - penalty * off
            total += penalty / 2 * float(off.double().square().sum())
        return total


Pattern = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def _patterns(network: FreeRunner) -> list[Pattern]:
    """Return all values of the latent bits, as changes of a noise."""
    bits = getattr(network, "latent_bits", 0)
    if bits == 0:
        return [lambda noise: {}]
    values = itertools.product((0.25, 0.75), repeat=bits)  # on, off

    def pattern(value: tuple[float, ...], noise: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"latent": noise["latent"].new_tensor(value).expand_as(noise["latent"])}

    return [partial(pattern, value) for value in values]


def choose_penalty(
    network: FreeRunner,
    data: Batch,
    disagreement: Callable[[FreeRunner], float],
    penalties: Sequence[float] = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4),
    fit: FullLikelihood = FullLikelihood(),
) -> list[PenaltyTrial]:
    """Fit a generator by the penalty of coupling whose free run agrees best with data, in place.

    Held-out likelihood does not show whether a network runs away or falls silent when it hears its own
    spikes. Penalties are tried from the largest to the smallest, each from the fit before.

    Args:
        network: Generator, as for `FullLikelihood`.
        data: Trials to fit.
        disagreement: Function of a fitted generator, such as
            `snn_gan_ext.metrics.populations.disagreement` of its free run and held-out trials.
        penalties: Penalties ``coupling_penalty`` to try.
        fit: Other settings of the fits.

    Returns:
        All trials, the chosen one first.

    Raises:
        InputError: If there is no penalty, or `FullLikelihood` refuses network or data.
    """
    if not penalties:
        raise InputError("penalties", expected="at least one", got="none")
    trials, weights = [], {}
    for penalty in sorted(penalties, reverse=True):
        settings = FullLikelihood(**{**vars(fit), "coupling_penalty": penalty})
        likelihood = settings.fit(network, data)
        found = float(disagreement(network))
        # A free run of silence has no correlations: its disagreement may be NaN.
        found = found if math.isfinite(found) else math.inf
        trials.append(PenaltyTrial(penalty, likelihood, found))
        weights[penalty] = {name: x.clone() for name, x in network.state_dict().items()}
    trials.sort(key=lambda trial: trial.disagreement)
    network.load_state_dict(weights[trials[0].penalty])
    return trials
