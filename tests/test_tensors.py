"""Tensors of every kind in all public functions: the plain tensor's result, or one InputError."""

from functools import partial

import numpy as np
import pytest
import torch

from snn_gan_ext import GLMConv2d, GLMConvTranspose2d, GLMLayer, InputError, TTFSLinear, TTFSRampLinear
from snn_gan_ext.algorithms.bayes import BayesSpikeGAN
from snn_gan_ext.algorithms.full_likelihood import FullLikelihood
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.likelihood import MaximumLikelihood
from snn_gan_ext.algorithms.moments import MomentMatching
from snn_gan_ext.algorithms.spikegan import SpikeGAN
from snn_gan_ext.algorithms.temporal_backprop import FiringTimes, TemporalBackprop
from snn_gan_ext.coding import augment, decoders, events, images, latency
from snn_gan_ext.estimators import adversarial, estimators, likelihood, reptile, svgd, temporal
from snn_gan_ext.functional import bases, dense_coupling, glm, ttfs
from snn_gan_ext.metrics import (
    c2st,
    distributions,
    first_spikes,
    populations,
    references,
    spike_trains,
)
from snn_gan_ext.metrics import events as event_metrics
from snn_gan_ext.networks.classifiers import SpikingClassifier
from snn_gan_ext.networks.discriminators import (
    IntervalDiscriminator,
    MLPDiscriminator,
    TemporalDiscriminator,
)
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.population import PopulationGenerator
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSClassifier, TTFSGenerator
from snn_gan_ext.types import Batch, ImageBatch

STEPS, TRIALS, NEURONS = 6, 4, 3


class Odd(torch.Tensor):
    """A subclass without any of its own."""


def in_inference_mode(x):
    with torch.inference_mode():
        return x.clone()


KINDS = {
    "sparse": torch.Tensor.to_sparse,
    "nested": lambda x: torch.nested.nested_tensor(list(x)),
    "quantised": lambda x: torch.quantize_per_tensor(x.float(), 1.0, 0, torch.quint8),
    "complex": lambda x: x.to(torch.complex64),
    "float8": lambda x: x.to(torch.float8_e5m2),
    "meta": lambda x: x.to("meta"),
    "not contiguous": lambda x: torch.stack([x, x], -1)[..., 0],
    "with a graph": lambda x: x.clone().requires_grad_() * 1 if x.is_floating_point() else x,
    "inference": in_inference_mode,
    "a parameter": lambda x: torch.nn.Parameter(x) if x.is_floating_point() else x,
    "a subclass": lambda x: x.as_subclass(Odd),
    "array": torch.Tensor.numpy,
    "list": torch.Tensor.tolist,
    "none": lambda x: None,
}


def seed():
    return torch.Generator().manual_seed(0)


def spikes(*shape, rate=0.5):
    return (torch.rand(*shape, generator=seed()) < rate).float()


def numbers(*shape):
    return torch.rand(*shape, generator=seed())


X, IMAGES, LABELS = spikes(STEPS, TRIALS, NEURONS), numbers(TRIALS, 9), torch.tensor([0, 1, 0, 1])
FRAMES, TIMES = spikes(STEPS, TRIALS, 2, 4, 4), numbers(TRIALS, NEURONS)
WHOLE = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 6.0], [2.0, 2.0, 1.0], [5.0, 4.0, 0.0]])
TRAINS, LONG = spikes(40, 30, rate=0.3), spikes(STEPS, 40, NEURONS)
BASIS = bases.exponential_basis(3, 2.0)
POTENTIALS = numbers(STEPS, TRIALS, NEURONS)


def layer(**options):
    return GLMLayer(NEURONS, NEURONS, basis=BASIS, rng=seed(), **options)


def generator(seed_=0):
    weights = torch.Generator().manual_seed(seed_)
    return ConditionalGenerator(2, NEURONS, STEPS, hidden=2, latent_bits=2, basis=BASIS, rng=weights)


def run_of(error, **options):
    own = layer()
    return own.gradients(own.sample(X, uniforms=POTENTIALS), error, **options)


def kept(inputs, outputs):
    own = layer()
    state = own(X, uniforms=POTENTIALS)[1]._replace(inputs=inputs, outputs=outputs)
    return own(X, state, uniforms=POTENTIALS)[0]


def trained(spikes, labels):
    learner = SpikeGAN(decode=images.rate_decode, updates=1)
    state = learner.init(generator(), MLPDiscriminator(NEURONS, 2, rng=seed()), seed())
    return learner.update(state, Batch(spikes, labels))


def particles(spikes, labels):
    learner = BayesSpikeGAN(decode=images.rate_decode, updates=1)
    ensemble = Ensemble([generator(0), generator(1)])
    state = learner.init(ensemble, MLPDiscriminator(NEURONS, 2, rng=seed()), seed())
    return learner.update(state, Batch(spikes, labels))


def classified(spikes, labels):
    network = SpikingClassifier(NEURONS, 2, STEPS, hidden=2, basis=BASIS, rng=seed())
    learner = MaximumLikelihood(updates=1)
    return learner.update(learner.init(network, seed()), Batch(spikes, labels))


def first_spike(times, labels):
    network = TTFSClassifier(NEURONS, 2, STEPS, hidden=4, rng=seed())
    learner = TemporalBackprop(updates=1, window=STEPS, margin=1.0, deadline=3.0)
    return learner.update(learner.init(network, seed()), FiringTimes(times, labels))


def pictured(images, labels):
    learner = ImageGAN(updates=1)
    networks = MLPGenerator(9, 2, rng=seed()), OnOffDiscriminator(9, 2, hidden=4, rng=seed())
    return learner.update(learner.init(*networks, seed()), ImageBatch(images, labels))


def population(**options):
    wiring = {"same_step": "triangular", "counts": 2, "coupling_std": 0.3}
    return PopulationGenerator(2, NEURONS, STEPS, basis=BASIS, rng=seed(), **wiring, **options)


def matched(spikes, labels):
    learner = MomentMatching(updates=1, chains=2)
    return learner.update(learner.init(population(), seed()), Batch(spikes, labels))


def drawn(sampler):
    return sampler(torch.tensor([0, 1, 1]), seed())


FUNCTIONS = {
    "GLMLayer": (lambda x, u: layer()(x, uniforms=u)[0], X, POTENTIALS),
    "GLMLayer, no graph": (lambda x, u: layer().sample(x, uniforms=u), X, POTENTIALS),
    "GLMLayer state": (kept, spikes(3, TRIALS, NEURONS), spikes(3, TRIALS, NEURONS)),
    "GLMLayer.observe": (lambda x, s: layer().observe(x, s), X, X),
    "GLMLayer.gradients": (run_of, POTENTIALS),
    "GLMLayer.gradients, per_sample": (partial(run_of, per_sample=True), POTENTIALS),
    "GLMLayer basis": (
        lambda b: GLMLayer(NEURONS, 2, basis=b, rng=seed())(X, rng=seed())[0],
        BASIS,
    ),
    "GLMLayer mask": (
        lambda m: GLMLayer(NEURONS, 2, mask=m, rng=seed())(X, rng=seed())[0],
        torch.eye(NEURONS, 2).bool(),
    ),
    "GLMLayer coupling": (
        lambda m: GLMLayer(NEURONS, 3, coupling=m, rng=seed())(X, rng=seed())[0],
        torch.eye(3).roll(1, 0).bool(),
    ),
    "GLMLayer same_step": (
        lambda m: GLMLayer(NEURONS, 3, same_step=m, rng=seed())(X, rng=seed())[0],
        torch.ones(3, 3).triu(1).bool(),
    ),
    "GLMLayer coupling_basis": (
        lambda b: GLMLayer(NEURONS, 2, coupling=True, coupling_basis=b, rng=seed())(X, rng=seed())[0],
        BASIS,
    ),
    "GLMLayer, coupled, observe": (
        lambda x, s: layer(coupling=True, same_step="triangular").observe(x, s),
        X,
        X,
    ),
    "GLMConv2d tile": (
        lambda p: GLMConv2d(2, 2, 3, coupling_kernel=3, same_step=p, rng=seed())(FRAMES, rng=seed())[0],
        torch.tensor([[[0, 1]], [[1, 2]]]),
    ),
    "PopulationGenerator.observe": (
        lambda s, y: population().observe(s, y, population().noise(TRIALS, seed())).spikes,
        X,
        LABELS,
    ),
    "PopulationGenerator.initialise_rates": (
        lambda r: population().initialise_rates(r, seed()),
        0.1 + 0.8 * numbers(STEPS, 2, NEURONS),
    ),
    "MomentMatching": (matched, X, LABELS),
    "FullLikelihood": (
        lambda s, y: FullLikelihood(iterations=2).fit(population(), Batch(s, y)),
        X,
        LABELS,
    ),
    "coupling_drive": (
        lambda s, w: dense_coupling.coupling_drive(s, w, BASIS),
        X,
        numbers(1, NEURONS, NEURONS),
    ),
    "coupling_gradient": (
        lambda s, e: dense_coupling.coupling_gradient(s, e, BASIS),
        X,
        POTENTIALS,
    ),
    "covariances": (lambda s: populations.covariances(s, 3), X),
    "correlogram_error": (lambda s: populations.correlogram_error(X, s), LONG[:, :4]),
    "count_divergence": (lambda s: populations.count_divergence(s, X), LONG[:, :4]),
    "agreement": (populations.agreement, POTENTIALS, numbers(STEPS, TRIALS, NEURONS)),
    "GLMConv2d": (lambda x: GLMConv2d(2, 2, 3, rng=seed())(x, rng=seed())[0], FRAMES),
    "GLMConvTranspose2d": (
        lambda x: GLMConvTranspose2d(2, 2, 3, rng=seed())(x, rng=seed())[0],
        FRAMES,
    ),
    "TTFSLinear": (TTFSLinear(NEURONS, 2, rng=seed()), X),
    "TTFSLinear.fire": (lambda t: TTFSLinear(NEURONS, 2, rng=seed()).fire(t, STEPS), WHOLE),
    "TTFSRampLinear": (TTFSRampLinear(NEURONS, 2, horizon=2.0, rng=seed()), TIMES),
    "ConditionalGenerator": (lambda y: generator()(y, seed()), LABELS),
    "ConditionalGenerator.observe": (
        lambda s, y: generator().observe(s, y, generator().noise(TRIALS, seed())).spikes,
        X,
        LABELS,
    ),
    "ConditionalGenerator.initialise_rates": (
        lambda r: generator().initialise_rates(r),
        0.1 + 0.8 * numbers(STEPS, 2, NEURONS),
    ),
    "Ensemble": (lambda y: Ensemble([generator(0), generator(1)])(y, seed()), LABELS),
    "SpikingClassifier": (
        lambda x: SpikingClassifier(NEURONS, 2, STEPS, hidden=2, basis=BASIS, rng=seed())(x, seed()),
        X,
    ),
    "MLPDiscriminator": (MLPDiscriminator(9, 2, rng=seed()), IMAGES, LABELS),
    "TemporalDiscriminator": (
        TemporalDiscriminator(NEURONS, 2, STEPS, layers=((2, 3, 1),), rng=seed()),
        X,
        LABELS,
    ),
    "IntervalDiscriminator": (IntervalDiscriminator(NEURONS, STEPS, rng=seed()), X),
    "OnOffDiscriminator": (OnOffDiscriminator(9, 2, hidden=4, rng=seed()), IMAGES, LABELS),
    "MLPGenerator": (MLPGenerator(9, 2, latents=9, rng=seed()), LABELS, IMAGES),
    "TTFSGenerator": (TTFSGenerator(9, 2, latents=9, rng=seed()), LABELS, IMAGES),
    "TTFSClassifier": (TTFSClassifier(NEURONS, 2, STEPS, hidden=4, rng=seed()), WHOLE),
    "SpikeGAN": (trained, X, LABELS),
    "BayesSpikeGAN": (particles, X, LABELS),
    "MaximumLikelihood": (classified, X, LABELS),
    "TemporalBackprop": (first_spike, WHOLE, LABELS),
    "ImageGAN": (pictured, IMAGES, LABELS),
    "exponential_basis": (lambda d: bases.exponential_basis(5, d), torch.tensor([1.0, 4.0])),
    "step_times": (lambda t, w: ttfs.step_times(t, w, 1.0, STEPS), WHOLE, numbers(NEURONS, 2)),
    "ramp_times": (
        lambda t, w, b: ttfs.ramp_times(t, w, b, 1.0, 2.0),
        TIMES,
        numbers(NEURONS, 2),
        numbers(2),
    ),
    "ramp_ticks": (
        lambda t, w, b: ttfs.ramp_ticks(t, w, b, 1.0, 2.0, 6),
        TIMES,
        numbers(NEURONS, 2),
        numbers(2),
    ),
    "times_of": (ttfs.times_of, X),
    "spikes_of": (lambda t: ttfs.spikes_of(t, STEPS), WHOLE),
    "glm.score": (glm.score, X, POTENTIALS),
    "glm.log_likelihood": (glm.log_likelihood, X, POTENTIALS),
    "advantage": (
        lambda r, g: estimators.advantage(r, "leave_one_out", g),
        numbers(TRIALS),
        LABELS,
    ),
    "score_function_error": (estimators.score_function_error, X, numbers(TRIALS)),
    "straight_through_error": (estimators.straight_through_error, X, POTENTIALS),
    "variance_minimising_gradient": (
        estimators.variance_minimising_gradient,
        numbers(TRIALS, 2),
        numbers(TRIALS),
    ),
    "generator_reward": (
        lambda x: adversarial.generator_reward(x, "non_saturating"),
        numbers(TRIALS),
    ),
    "discriminator_loss": (adversarial.discriminator_loss, numbers(TRIALS), numbers(TRIALS)),
    "learning_signal": (
        lambda x: likelihood.learning_signal(x, "reward_to_go", 1),
        numbers(STEPS, TRIALS),
    ),
    "advantage_over_others": (
        lambda x: likelihood.advantage_over_others(x, 2),
        numbers(STEPS, TRIALS),
    ),
    "sparsity_cost": (lambda s, u: likelihood.sparsity_cost(s, u, 0.3), X, POTENTIALS),
    "update_initialisation": (
        lambda a, b: reptile.update_initialisation({"w": a}, {"w": b}, 0.5, "reptile"),
        numbers(NEURONS),
        numbers(TRIALS, NEURONS),
    ),
    "svgd_direction": (
        lambda a, b: svgd.svgd_direction(a, b, "median"),
        numbers(TRIALS, NEURONS),
        numbers(TRIALS, NEURONS),
    ),
    "firing_targets": (lambda t, y: temporal.firing_targets(t, y, STEPS, 1.0), WHOLE, LABELS),
    "temporal_loss": (lambda t, w: temporal.temporal_loss(t, w, STEPS), WHOLE, WHOLE),
    "decided_rightly": (lambda t, y: temporal.decided_rightly(t, y, STEPS), WHOLE, LABELS),
    "rate_encode": (lambda i: images.rate_encode(i, STEPS, rng=seed()), IMAGES),
    "rate_decode": (images.rate_decode, X),
    "time_surface_decode": (images.time_surface_decode, X),
    "pooled_decode": (lambda x: images.pooled_decode(x, 2), X),
    "add_noise": (lambda i: images.add_noise(i, 0.5, seed()), IMAGES),
    "random_affine": (lambda i: augment.random_affine(i, rng=seed()), IMAGES),
    "turned": (lambda i: augment.turned(i, 30.0), IMAGES),
    "latency_encode": (lambda i: latency.latency_encode(i, STEPS), IMAGES),
    "latency_decode": (lambda t: latency.latency_decode(t, STEPS), WHOLE),
    "pooled_counts": (lambda x: events.pooled_counts(x, ((2, 2),)), FRAMES),
    "to_events": (lambda x: events.to_events(x, 1000), FRAMES[:, 0]),
    "Rates": (decoders.Rates(), X),
    "TimeSurface": (decoders.TimeSurface(), X),
    "energy_distance": (
        lambda i, y: distributions.energy_distance(
            images.Labelled(i, y), images.Labelled(IMAGES, LABELS)
        ),
        IMAGES,
        LABELS,
    ),
    "pca_projection": (distributions.pca_projection, IMAGES, IMAGES),
    "count_spread_ratio": (
        lambda x, y: event_metrics.count_spread_ratio(Batch(x, y), Batch(FRAMES, LABELS)),
        FRAMES,
        LABELS,
    ),
    "autocorrelation_distance": (
        lambda x, y: event_metrics.autocorrelation_distance(Batch(x, y), Batch(FRAMES, LABELS)),
        FRAMES,
        LABELS,
    ),
    "nearest_distance": (
        lambda x, y: event_metrics.nearest_distance(Batch(x, y), Batch(FRAMES, LABELS)),
        FRAMES,
        LABELS,
    ),
    "decisions": (
        lambda h, o, p, y: first_spikes.decisions(h, o, p, y, STEPS),
        WHOLE,
        WHOLE[:, :2],
        TIMES[:, :2],
        LABELS,
    ),
    "runs_of": (spike_trains.runs_of, TRAINS[:, 0]),
    "mode_of": (lambda x: spike_trains.mode_of(x, [(2, 2), (4, 1)]), TRAINS),
    "interspike_intervals": (spike_trains.interspike_intervals, TRAINS),
    "isi_wasserstein": (spike_trains.isi_wasserstein, TRAINS, TRAINS.flip(0)),
    "autocorrelation": (lambda x: spike_trains.autocorrelation(x, 5), TRAINS),
    "autocorrelation_mmd": (spike_trains.autocorrelation_mmd, TRAINS, TRAINS.flip(0)),
    "trial_features": (spike_trains.trial_features, TRAINS),
    "halves": (lambda a, b: c2st.halves(a, b, 0), LONG, LONG),
    "class_means": (
        lambda i, y: drawn(references.class_means(images.Labelled(i, y))),
        IMAGES,
        LABELS,
    ),
    "pixel_marginals": (lambda i: drawn(references.pixel_marginals(i)), IMAGES),
    "pca_gaussian": (lambda i: drawn(references.pca_gaussian(i, components=2)), IMAGES),
    "shifted": (lambda x: references.shifted(x, 1, seed()), FRAMES),
}


def same(ours, theirs):
    """Tell whether two results are equal, whatever they are made of."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, tuple | list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, torch.Tensor):
        torch.testing.assert_close(ours.detach(), theirs.detach(), check_dtype=False)
        return True
    if isinstance(theirs, np.ndarray) and theirs.dtype.names is None:
        return bool(np.allclose(ours, theirs))
    return bool(np.all(ours == pytest.approx(theirs) if isinstance(theirs, float) else ours == theirs))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")  # of PyTorch about its own kinds
def test_a_tensor_of_any_kind_is_right_or_refused(name, kind):
    function, *arguments = FUNCTIONS[name]
    expected = function(*arguments)
    for place in range(len(arguments)):
        given = list(arguments)
        try:
            given[place] = KINDS[kind](arguments[place])
        except RuntimeError:  # PyTorch has no such tensor
            continue
        try:
            found = function(*given)
        except InputError:
            continue
        assert kind in ("meta", "none") or same(found, expected)
