"""The scorecard of two sets of spike trains: statistics, judges, reference samplers and intervals.

Arguments are spikes ``[T, B, N]``, exactly 0 or 1: windows of one recording, or trials that are aligned
at their starts (``trials=True``). Results are on the CPU. Times are in bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from snn_gan_ext.algorithms.full_likelihood import FullLikelihood
from snn_gan_ext.errors import InputError
from snn_gan_ext.metrics import populations
from snn_gan_ext.metrics.populations import agreement, check_population, covariances
from snn_gan_ext.networks.population import PopulationGenerator
from snn_gan_ext.types import Batch
from snn_gan_ext.validation import SEED, check_setting, check_shapes, whole

__all__ = [
    "Scorecard",
    "coupled",
    "dichotomized_gaussian",
    "judged",
    "leakage",
    "scorecard",
    "shuffled",
    "statistics",
]

LAGS = 6
WINDOW = 32  # bins of a window that a judge sees
SHORT = 2  # bins of a short interval


@dataclass(frozen=True)
class Scorecard:
    """Numbers by sampler and measure.

    Attributes:
        table: Row of each sampler; ``real`` are two halves of the real set, the ceiling.
        intervals: Central 95 % of the other set's numbers over bootstrap samples of windows.
        ceiling: Central 95 % of the numbers of two halves of the real set, drawn at random.
    """

    table: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, tuple[float, float]]
    ceiling: Mapping[str, tuple[float, float]]


def statistics(real: Tensor, other: Tensor, trials: bool = False) -> dict[str, float]:
    """Return measures of agreement by name; `snn_gan_ext.experiments.measures` has them in words.

    Args:
        real: Real spikes ``[T, B, N]``.
        other: Other spikes ``[T', B', N]``; of trials ``T' = T``.
        trials: Whether windows are trials, aligned at their starts.

    Raises:
        InputError: If sets have other values than 0 and 1, different neurons, or trials other lengths.
    """
    row = {
        "rate_error": populations.rate_error(real, other),
        "count_divergence": populations.count_divergence(real, other),
    }
    real, other = check_population(real), check_population(other)
    lags = min(LAGS, len(real), len(other))
    ours, theirs = (covariances(x, lags) for x in (other, real))
    if lags > 1:
        own = [x[1:].diagonal(0, 1, 2) for x in (theirs, ours)]
        row["autocovariance_error"] = _ratio((own[1] - own[0]).norm(), own[0].norm())
    pairs = ~torch.eye(real.shape[2], dtype=torch.bool)
    if pairs.any():
        between = [_correlations(x)[pairs] for x in (theirs, ours)]
        row["correlation_r"], row["correlation_slope"] = agreement(*between)
        row["correlation_rmse"] = float((between[1] - between[0]).square().mean().sqrt())
        row["correlation_mean_ratio"] = _ratio(between[1].mean(), between[0].mean())
        named = ((slice(1, 2), "lag_1"), (slice(1, LAGS), "lags_1_to_5"))
        for lag, name in named if lags > 1 else ():
            r, slope = agreement(theirs[lag][:, pairs], ours[lag][:, pairs])
            row |= {f"{name}_r": r, f"{name}_slope": slope}
    row |= _of_intervals(real, other)
    row["fano_ratio"] = _ratio(_fano(other), _fano(real))
    row["population_fano_ratio"] = _ratio(_fano(other.sum(2, True)), _fano(real.sum(2, True)))
    if trials:
        row |= _of_trials(real, other)
    return row


def _correlations(found: Tensor) -> Tensor:
    scale = found[0].diagonal().clamp(min=1e-12).sqrt()
    return found[0] / (scale[:, None] * scale)


def _ratio(ours: Tensor, theirs: Tensor) -> float:
    return float(ours / theirs) if float(theirs) else float("nan")


def _fano(spikes: Tensor) -> Tensor:
    """Return the mean Fano factor of the units' counts in a window."""
    counts = spikes.sum(0).double()
    mean = counts.mean(0)
    fires = mean > 0
    if len(counts) < 2 or not fires.any():
        return torch.tensor(float("nan"))
    return (counts.var(0)[fires] / mean[fires]).mean()


def _intervals(spikes: Tensor) -> np.ndarray:
    """Return the intervals of all units within windows, in bins."""
    unit, window, step = spikes.permute(2, 1, 0).nonzero().numpy().T
    same = (np.diff(unit) == 0) & (np.diff(window) == 0)
    return np.asarray(np.diff(step)[same])


def _of_intervals(real: Tensor, other: Tensor) -> dict[str, float]:
    from scipy.stats import wasserstein_distance

    theirs, ours = _intervals(real), _intervals(other)
    if not len(theirs) or not len(ours):
        return {}
    mean, spread = ours.mean() / theirs.mean(), theirs.std()
    spread = ours.std() / spread if spread else np.nan
    return {
        "isi_distance": float(wasserstein_distance(theirs, ours)),
        "isi_mean_ratio": float(mean),
        "isi_sd_ratio": float(spread),
        "short_intervals": float((ours <= SHORT).mean() - (theirs <= SHORT).mean()),
        "cv_ratio": float(spread / mean),
    }


def _of_trials(real: Tensor, other: Tensor) -> dict[str, float]:
    """Compare time courses and noise correlations."""
    if len(real) != len(other):
        cure = "take a window that fits into both"
        raise InputError("trials", expected=f"{len(real)} bins", got=f"{len(other)}", cure=cure)
    course = [x.mean((1, 2)) for x in (real, other)]
    found = {"psth_error": _ratio((course[1] - course[0]).abs().sum(), course[0].sum())}
    pairs = ~torch.eye(real.shape[2], dtype=torch.bool)
    if pairs.any() and min(real.shape[1], other.shape[1]) > 1:
        residuals = [(x - x.mean(1, keepdim=True)).flatten(0, 1).double() for x in (real, other)]
        noise = [(x.T @ x / len(x))[pairs] for x in residuals]
        found["noise_r"], found["noise_slope"] = agreement(*noise)
    return found


def judged(real: Tensor, other: Tensor, seed: int = 0) -> dict[str, float]:
    """Return accuracies of two judges that separate windows of the sets; 0.5 is perfect.

    ``c2st_trees`` are boosted trees on counts, on products of pairs of units at lags 0 and 1, and on
    the population's time course; ``c2st_convolutions`` is a convolutional network over time. Each
    learns from half of the windows of 32 bins, equally many of both sets, and is tested on the others.

    Args:
        real: Real spikes ``[T, B, N]``.
        other: Other spikes ``[T', B', N]``.
        seed: Seed of the choice of windows and of the judges.

    Raises:
        InputError: If there are fewer than 20 windows of a set, or windows have a single bin.
    """
    check_setting("seed", seed, SEED)
    rng = torch.Generator().manual_seed(seed)
    width = min(WINDOW, len(real), len(other))
    if width < 2:
        raise InputError("windows", expected="two bins or more", got=f"{width}")
    # Halves of trials, not of windows: those of one trial would know each other.
    halves: list[list[Tensor]] = []
    for spikes in map(check_population, (real, other)):
        order = torch.randperm(spikes.shape[1], generator=rng)
        if len(order) == 1:  # one long stretch: its first and its second half
            parts = spikes.chunk(2)
        else:
            parts = tuple(spikes[:, some] for some in order.tensor_split(2))
        halves.append([_windows(part, width) for part in parts])
    train, test = ([x, y] for x, y in zip(*halves, strict=True))
    if min(len(x) for x in (*train, *test)) < 10:
        got = f"{min(len(x) for x in (*train, *test))}"
        expected = f"10 of {width} bins in each half"
        raise InputError("windows", expected=expected, got=got, cure="leave the judges out")
    known, unseen = (_by_origin(both, rng) for both in (train, test))
    return {
        "c2st_trees": _trees(known, unseen, seed),
        "c2st_convolutions": _convolutions(known, unseen, seed),
    }


def _windows(spikes: Tensor, width: int) -> Tensor:
    """Cut ``[T, B, N]`` into windows ``[W, width, N]`` without overlap."""
    width = min(width, len(spikes))  # half of one long stretch may be shorter
    return spikes.unfold(0, width, width).permute(0, 1, 3, 2).flatten(0, 1)


Set = tuple[Tensor, Tensor]


def _by_origin(both: list[Tensor], rng: torch.Generator) -> Set:
    """Return equally many windows of both sets, and which set each is of."""
    count = min(4000, *map(len, both))
    picks = [x[torch.randperm(len(x), generator=rng)[:count]] for x in both]
    return torch.cat(picks), torch.arange(2).repeat_interleave(count)


def _trees(train: Set, test: Set, seed: int) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, random_state=seed)
    model.fit(_features(train[0], seed), train[1].numpy())
    return float(model.score(_features(test[0], seed), test[1].numpy()))


def _features(windows: Tensor, seed: int) -> np.ndarray:
    """Return counts, products of pairs, and time courses of windows ``[W, t, N]``."""
    neurons = windows.shape[2]
    pairs = torch.combinations(torch.arange(neurons))
    rng = torch.Generator().manual_seed(seed)
    a, b = pairs[torch.randperm(len(pairs), generator=rng)[:150]].T
    early, late = windows[:, :-1], windows[:, 1:]
    population = windows.sum(2)
    parts = [
        windows.sum(1),
        (windows[..., a] * windows[..., b]).sum(1),
        (early[..., a] * late[..., b]).sum(1),
        (early[..., b] * late[..., a]).sum(1),
        (early * late).sum(1),
        population,
        torch.stack([population.mean(1), population.var(1), population.amax(1)], 1),
    ]
    return torch.cat(parts, 1).numpy()


def _convolutions(train: Set, test: Set, seed: int, epochs: int = 12) -> float:
    neurons = train[0].shape[2]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv1d(neurons, 64, 5, padding=2),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv1d(64, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(64, 1),
        )
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
        x, y = train[0].transpose(1, 2), train[1].float()
        for _ in range(epochs):
            for picks in torch.randperm(len(x)).split(128):  # type: ignore[no-untyped-call]
                logits = network(x[picks]).squeeze(1)
                loss = nn.functional.binary_cross_entropy_with_logits(logits, y[picks])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        network.eval()
        with torch.no_grad():
            found = network(test[0].transpose(1, 2)).squeeze(1) > 0
    return float((found == test[1].bool()).float().mean())


def leakage(train: Tensor, held_out: Tensor, other: Tensor) -> float:
    """Return the mean distance to the nearest training window, over that of held-out windows.

    Below 1, samples lie closer to the training windows than new real ones do: some may be copies.

    Args:
        train: Spikes that a sampler learned from ``[T, B, N]``.
        held_out: Real spikes that it did not see ``[T, B', N]``.
        other: Its samples ``[T, B'', N]``.

    Raises:
        InputError: If sets differ in the number of bins or neurons.
    """
    steps, _, neurons = check_population(train).shape
    check_shapes(held_out=(held_out, (steps, "B >= 1", neurons)))
    check_shapes(other=(other, (steps, "B >= 1", neurons)))
    seen, unseen, drawn = (
        check_population(x).transpose(0, 1).flatten(1)[:1000] for x in (train, held_out, other)
    )
    ours, theirs = (torch.cdist(x, seen).amin(1).mean() for x in (drawn, unseen))
    return _ratio(ours, theirs)


def shuffled(real: Tensor, rng: torch.Generator) -> Tensor:
    """Return trials whose units come from different trials.

    They have the rates, time courses and intervals of the real ones, and no noise correlations.

    Args:
        real: Real spikes ``[T, B, N]``.
        rng: Random source.
    """
    real = check_population(real)
    orders = [torch.randperm(real.shape[1], generator=rng) for _ in range(real.shape[2])]
    return torch.stack([real[:, order, unit] for unit, order in enumerate(orders)], 2)


def dichotomized_gaussian(real: Tensor, count: int, rng: torch.Generator, trials: bool) -> Tensor:
    r"""Draw spikes where a correlated Gaussian exceeds a threshold, ``[T, count, N]``.

    Rates (of trials: at each step) and covariances at lag 0 are those of the real spikes, as far as a
    positive definite covariance allows. Steps are independent.

    Args:
        real: Real spikes ``[T, B, N]``.
        count: Number of windows to draw.
        rng: Random source.
        trials: Whether rates differ from step to step.

    References:
        Macke et al. (2009), "Generating spike trains with specified correlation coefficients".
    """
    from scipy.special import ndtr, ndtri

    check_setting("count", count, whole(0))
    spikes = check_population(real).double()
    steps, windows, neurons = spikes.shape
    least = 0.5 / (steps * windows)
    mean = spikes.mean((0, 1)).clamp(least, 1 - least).numpy()
    residual = spikes - (spikes.mean(1, keepdim=True) if trials else spikes.mean((0, 1)))
    flat = residual.flatten(0, 1)
    wanted = (flat.T @ flat / len(flat)).numpy()
    h, k = ndtri(mean)[:, None], ndtri(mean)[None]
    joint = wanted + mean[:, None] * mean[None]
    low, high = np.full((neurons, neurons), -0.999), np.full((neurons, neurons), 0.999)
    nodes, weights = np.polynomial.legendre.leggauss(24)

    def both(rho: np.ndarray) -> np.ndarray:
        """Probability that two Gaussians of correlation rho are below h and k (Plackett's identity)."""
        r = 0.5 * rho[..., None] * (nodes + 1)
        square = h[..., None] ** 2 + k[..., None] ** 2 - 2 * r * h[..., None] * k[..., None]
        density = np.exp(-square / (2 * (1 - r**2))) / (2 * np.pi * np.sqrt(1 - r**2))
        return np.asarray(ndtr(h) * ndtr(k) + 0.5 * rho * (density @ weights))

    for _ in range(40):
        middle = 0.5 * (low + high)
        above = both(middle) > joint
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    latent = 0.5 * (low + high)
    np.fill_diagonal(latent, 1.0)
    values, vectors = np.linalg.eigh(latent)
    factor = vectors * np.sqrt(values.clip(1e-6))
    factor = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    rates = spikes.mean(1) if trials else spikes.mean((0, 1)).expand(steps, neurons)
    thresholds = torch.from_numpy(ndtri(rates.clamp(least, 1 - least).numpy()))[:, None]
    noise = torch.randn(steps, count, neurons, generator=rng, dtype=torch.float64)
    return (noise @ torch.from_numpy(factor).T < thresholds).float()


def coupled(real: Tensor, count: int, rng: torch.Generator, trials: bool) -> Tensor:
    """Draw from a coupled GLM, fitted by maximum likelihood, ``[T, count, N]``.

    Of trials, the drive differs from step to step. Other windows are of ongoing activity, five windows
    after its start.

    Args:
        real: Real spikes ``[T, B, N]``.
        count: Number of windows to draw.
        rng: Random source.
        trials: Whether windows are trials, aligned at their starts.

    References:
        Pillow et al. (2008), "Spatio-temporal correlations and visual signalling in a complete
        neuronal population".
    """
    spikes = check_population(real)
    steps, windows, neurons = spikes.shape
    network = PopulationGenerator(1, neurons, steps, by_step=trials)
    rates = spikes.mean(1, keepdim=True) if trials else spikes.mean((0, 1), keepdim=True)
    least = 0.5 / (windows if trials else steps * windows)
    network.initialise_rates(rates.clamp(least, 1 - least).expand(steps, 1, neurons))
    FullLikelihood(iterations=60, drive_penalty=5e-4).fit(network, Batch(spikes))
    if trials:
        drawn: Tensor = network(count, rng)
        return drawn
    return network.free_run(count, 6 * steps, rng)[5 * steps :]


def scorecard(
    real: Tensor,
    other: Tensor,
    *,
    trials: bool = False,
    train: Tensor | None = None,
    references: bool = True,
    likelihood: bool = False,
    judges: bool = True,
    resamples: int = 100,
    seed: int = 0,
    name: str = "other",
) -> Scorecard:
    """Return the scorecard of a set of spike trains, beside the ceiling and reference samplers.

    Args:
        real: Real spikes ``[T, B, N]``.
        other: Other spikes ``[T', B', N]``.
        trials: Whether windows are trials, aligned at their starts.
        train: Spikes that the other set was learned from, for `leakage`.
        references: Whether to score samplers without a network, too.
        likelihood: Whether to score a `coupled` GLM, too, which is fitted first; slow.
        judges: Whether to train the two judges; slow.
        resamples: Number of bootstrap samples, and of random halves; 0 for none.
        seed: Seed of all randomness.
        name: Name of the other set's row.

    Raises:
        InputError: If sets do not fit each other, there are fewer than four real windows, or these are
            silent.
    """
    check_setting("resamples", resamples, whole(0, 100_000))
    check_setting("seed", seed, SEED)
    real, other = check_population(real), check_population(other)
    windows = real.shape[1]
    if windows < 4:
        raise InputError("real", expected="four windows or more", got=f"{windows}")
    if not real.any():
        raise InputError("real", expected="windows with spikes", got="silence")
    rng = torch.Generator().manual_seed(seed)
    samplers = {"real": _halves(real, rng)}
    if references:
        samplers |= {n: (real, x) for n, x in _references(real, trials, rng).items()}
    if likelihood:
        samplers["coupled"] = (real, coupled(real, windows, rng, trials))
    samplers[name] = (real, other)
    table = {}
    for sampler, (theirs, ours) in samplers.items():
        table[sampler] = statistics(theirs, ours, trials)
        if judges:
            table[sampler] |= judged(theirs, ours, seed)
    if train is not None:
        table[name]["leakage"] = leakage(train, real, other)
    return Scorecard(
        table,
        _central([statistics(_again(real, rng), _again(other, rng), trials) for _ in range(resamples)]),
        _central([statistics(*_halves(real, rng), trials) for _ in range(resamples)]),
    )


def _references(real: Tensor, trials: bool, rng: torch.Generator) -> dict[str, Tensor]:
    """Draw as many windows of each reference sampler as there are real ones."""
    coins = torch.rand(real.shape, generator=rng)
    drawn = {"independent": (coins < real.mean((0, 1))).float()}
    if trials:
        coins = torch.rand(real.shape, generator=rng)
        drawn["psth"] = (coins < real.mean(1, keepdim=True)).float()
    drawn["shuffled"] = shuffled(real, rng)
    drawn["dichotomized_gaussian"] = dichotomized_gaussian(real, real.shape[1], rng, trials)
    return drawn


def _halves(spikes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    first, second = torch.randperm(spikes.shape[1], generator=rng).tensor_split(2)
    return spikes[:, first], spikes[:, second]


def _again(spikes: Tensor, rng: torch.Generator) -> Tensor:
    """Draw windows with replacement."""
    count = spikes.shape[1]
    return spikes[:, torch.randint(count, (count,), generator=rng)]


def _central(rows: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Return the central 95 % of each statistic."""
    keys = {key: None for row in rows for key in row}
    found = {key: np.array([row.get(key, np.nan) for row in rows]) for key in keys}
    return {
        key: (float(np.nanquantile(x, 0.025)), float(np.nanquantile(x, 0.975)))
        for key, x in found.items()
        if np.isfinite(x).any()
    }
