import math

import pytest
import torch

from snn_gan_ext import GLMConv2d, GLMConvTranspose2d, GLMLayer, InputError
from snn_gan_ext.functional.bases import exponential_basis, identity_basis, raised_cosine_basis
from snn_gan_ext.networks.discriminators import (
    IntervalDiscriminator,
    MLPDiscriminator,
    PrefixDiscriminator,
    TemporalDiscriminator,
)
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.generators import ConditionalGenerator, ConvolutionalGenerator
from snn_gan_ext.networks.glm import GLMNetwork
from snn_gan_ext.networks.labels import one_hot
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSGenerator


def generator(**options):
    options = {"hidden": 7, "basis": exponential_basis(4, 2.0), **options}
    return ConditionalGenerator(3, 5, 6, rng=torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("bits", [0, 2])
def test_samples_are_spikes_and_gradients_fit_the_parameters(rng, gate, bits):
    net = generator(latent_bits=bits, gate_latent=gate, basis=raised_cosine_basis(2, 4))
    labels = torch.tensor([0, 2, 1, 1])
    sample = net.sample(labels, net.noise(4, rng))
    assert sample.spikes.shape == (6, 4, 5)
    assert set(sample.spikes.unique().tolist()) == {0.0, 1.0}
    errors = {name: run.score for name, run in sample.runs.items()}
    parameters = dict(net.named_parameters())
    for per_sample in (False, True):
        gradients = net.gradients(sample, errors, per_sample=per_sample)
        shapes = {name: g.shape[1:] if per_sample else g.shape for name, g in gradients.items()}
        assert shapes == {name: p.shape for name, p in parameters.items()}


def test_latent_bits_last_through_the_trial_and_gating_keeps_them_to_their_class(rng):
    net = generator(latent_bits=2, gate_latent=True)
    noise = net.noise(2, rng)
    noise["latent"] = torch.tensor([[0.1, 0.9], [0.1, 0.1]])  # bits 1 0 and 1 1
    received = net.sample(torch.tensor([0, 2]), noise).runs["hidden"].inputs
    assert torch.equal(received[0], received[-1])
    assert received[0].tolist() == [
        [1, 0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 1, 1],
    ]


def test_same_noise_same_trial_and_the_label_matters(rng):
    net = generator()
    noise = net.noise(50, rng)
    zeros, ones = torch.zeros(50, dtype=torch.long), torch.ones(50, dtype=torch.long)
    first = net.sample(zeros, noise).spikes
    assert torch.equal(first, net.sample(zeros, noise).spikes)
    assert not torch.equal(first, net.sample(ones, noise).spikes)


def test_the_label_acts_at_once_and_hidden_spikes_a_step_later():
    """With delay 0 the first step knows its label; hidden neurons cannot reach it."""
    net = generator()
    hidden, readout = net.network.layers["hidden"], net.network.layers["readout"]
    assert set(hidden.delays) == {0}
    assert readout.delays == (0, 0, 0, *(1,) * 7)
    label = {"label": torch.ones(6, 1, 3), "latent": torch.zeros(6, 1, 0)}
    first = []
    for hidden_noise in (0.0, 1.0):  # all hidden neurons fire, or none
        uniforms = {
            "hidden": torch.full((6, 1, 7), hidden_noise),
            "readout": torch.full((6, 1, 5), 0.5),
        }
        first.append(net.network.sample(label, uniforms)["readout"].potentials)
    assert torch.equal(first[0][0], first[1][0])
    assert not torch.equal(first[0][1], first[1][1])


def test_latent_scale_is_a_factor_on_the_bits_weights_alone():
    plain, scaled = (
        generator(latent_bits=2, latent_scale=scales).network.layers
        for scales in ((1.0, 1.0), (5.0, 7.0))
    )
    for name, factor in (("hidden", 5), ("readout", 7)):
        expected = plain[name].weight.clone()
        expected[:, 3:5] *= factor
        torch.testing.assert_close(scaled[name].weight, expected)


def test_hidden_neurons_begin_with_their_feedback_and_read_out_neurons_with_none():
    layers = generator(hidden_feedback=2.5).network.layers
    assert (layers["hidden"].feedback == 2.5).all()
    assert (layers["readout"].feedback == 0).all()


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [(GLMLayer, (25, 400)), (GLMConv2d, (1, 400, 5)), (GLMConvTranspose2d, (1, 400, 5))],
)
def test_initial_weights_shrink_with_the_inputs_and_the_basis(kind, sizes, rng):
    """Four over the root of 25 inputs times 16, the sum of the basis' squares: 1 / 5.

    Of 40,000 weights: beyond 5 standard errors once in 2 million runs.
    """
    layer = kind(*sizes, basis=2 * identity_basis(4), rng=rng)
    assert layer.weight.std().item() == pytest.approx(1 / 5, rel=5 / 80_000**0.5)


def test_wiring_of_any_depth_runs():
    def layer(inputs, outputs):
        return GLMLayer(inputs, outputs, basis=exponential_basis(3, 1.0))

    deep = GLMNetwork(
        {"x": 2},
        {"a": layer(2, 3), "b": layer(5, 4), "c": layer(7, 2)},
        {"a": ["x"], "b": ["x", "a"], "c": ["a", "b"]},
    )
    uniforms = {name: torch.rand(5, 1, size) for name, size in (("a", 3), ("b", 4), ("c", 2))}
    runs = deep.sample({"x": torch.ones(5, 1, 2)}, uniforms)
    assert runs["c"].spikes.shape == (5, 1, 2)
    with pytest.raises(InputError, match=r"wiring of 'a': expected some of \['x', 'a'\]"):
        GLMNetwork({"x": 2}, {"a": layer(2, 2)}, {"a": ["b"]})
    with pytest.raises(InputError, match="in_features"):
        GLMNetwork({"x": 2}, {"a": layer(3, 2)}, {"a": ["x"]})
    with pytest.raises(InputError, match="wiring"):
        GLMNetwork({"x": 2}, {"a": layer(2, 2)}, {})
    with pytest.raises(InputError, match="twice"):
        GLMNetwork({"x": 2}, {"x": layer(2, 2)}, {"x": ["x"]})


def test_a_discriminator_receives_the_label_and_is_seeded():
    d = MLPDiscriminator(5, 3, hidden=(8, 8), rng=torch.Generator().manual_seed(1))
    same = MLPDiscriminator(5, 3, hidden=(8, 8), rng=torch.Generator().manual_seed(1))
    x = torch.rand(4, 5)
    logits = d(x, torch.tensor([0, 1, 2, 0]))
    assert logits.shape == (4,)
    assert torch.equal(logits, same(x, torch.tensor([0, 1, 2, 0])))
    assert not torch.equal(logits, d(x, torch.tensor([1, 1, 2, 0])))


@pytest.mark.parametrize(
    ("kind", "steps"), [(MLPDiscriminator, ()), (TemporalDiscriminator, (16,))], ids=["mlp", "temporal"]
)
def test_label_scale_is_a_factor_on_the_weights_of_labels(kind, steps, rng):
    plain, scaled = (
        kind(5, 3, *steps, label_scale=scale, rng=torch.Generator().manual_seed(1))
        for scale in (1.0, 4.0)
    )
    with torch.no_grad():
        plain.layers[0].weight[:, 5:] *= 4
    x, labels = torch.rand(*steps, 4, 5, generator=rng), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(scaled(x, labels), plain(x, labels))


def test_a_projection_adds_what_the_label_makes_of_the_last_hidden_layer(rng):
    d = MLPDiscriminator(5, 3, hidden=(8,), projection=True, rng=rng)
    x, labels = torch.rand(4, 5, generator=rng), torch.tensor([0, 1, 2, 0])
    received = d.layers[:2](torch.cat([x, one_hot(labels, 3)], 1))
    product = (received * d.projection.weight.T[labels]).sum(1)
    torch.testing.assert_close(d(x, labels), d.layers[2](received)[:, 0] + product)


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([0, 3]),
        torch.tensor([-1]),
        torch.tensor([0.0]),
        torch.tensor([[0]]),
        torch.tensor([True]),
    ],
)
def test_wrong_labels_are_named(labels):
    with pytest.raises(InputError, match="labels"):
        one_hot(labels, 3)


@pytest.mark.parametrize("options", [{"latent_bits": -1}, {"hidden": -1}])
def test_wrong_sizes_are_named(options):
    with pytest.raises(InputError):
        generator(**options)


def test_the_temporal_discriminator_receives_spike_times_and_the_label(rng):
    d = TemporalDiscriminator(5, 3, 16, rng=torch.Generator().manual_seed(1))
    same = TemporalDiscriminator(5, 3, 16, rng=torch.Generator().manual_seed(1))
    spikes = (torch.rand(16, 4, 5, generator=rng) < 0.3).float()
    labels = torch.tensor([0, 1, 2, 0])
    logits = d(spikes, labels)
    assert logits.shape == (4,)
    assert torch.equal(logits, same(spikes, labels))
    assert not torch.allclose(logits, d(spikes.flip(0), labels))
    assert not torch.allclose(logits, d(spikes, (labels + 1) % 3))
    shapes = [tuple(p.shape) for p in d.parameters()]
    assert shapes == [(128, 8, 4), (128,), (1, 128, 4), (1,), (1, 4), (1,)]


@pytest.mark.parametrize(
    "options", [{"num_steps": 3}, {"layers": []}, {"layers": [(0, 4, 2)]}, {"features": 0}]
)
def test_a_temporal_discriminator_of_wrong_sizes_is_refused(options):
    with pytest.raises(InputError):
        TemporalDiscriminator(**{"features": 5, "classes": 3, "num_steps": 16, **options})


def by_hand(d, train):
    """Sum and mean over the spikes of one train, one after another; the trial's end counts as one."""
    steps, none = len(train), torch.zeros(d.bumps.shape[1])
    said, previous, before = 0, -1, None
    for step in [*train.nonzero()[:, 0].tolist(), steps]:
        latest = d.bumps[step - previous - 1]
        place = 2 if step == steps else 0 if before is not None else 1
        known = [none, none, none, none if before is None else before]
        known[place] = latest
        said = said + d.spike(torch.cat(known))
        previous, before = step, latest
    return torch.cat([said / d.scale, said / (1 + train.sum())])


def test_the_interval_discriminator_sums_over_spikes(rng):
    d = IntervalDiscriminator(2, 30, scale=3.0, rng=rng)
    spikes = torch.bernoulli(torch.full((30, 6, 2), 0.2), generator=rng)
    spikes[:, 0], spikes[:, 1, 1] = 0, 0
    logits = d(spikes, torch.zeros(6, dtype=torch.long))
    for trial in range(6):
        received = torch.cat([by_hand(d, spikes[:, trial, n]) for n in range(2)])
        torch.testing.assert_close(logits[trial], d.head(received)[0])


def test_the_slope_of_the_interval_discriminator_is_what_a_spike_adds(rng):
    d = IntervalDiscriminator(1, 40, rng=rng)
    spikes = torch.zeros(40, 2, 1)
    spikes[[3, 9], 0] = 1
    spikes.requires_grad_()
    (slope,) = torch.autograd.grad(d(spikes, torch.zeros(2)).sum(), spikes, create_graph=True)
    assert slope[..., 0].nonzero().tolist() == [[3, 0], [9, 0]]
    slope.square().sum().backward()  # as the R1 penalty does
    assert all(p.grad is not None and p.grad.isfinite().all() for p in d.spike.parameters())


@pytest.mark.parametrize(
    "options",
    [{"num_steps": 0}, {"features": 0}, {"hidden": 0}, {"channels": 1.5}, {"bumps": 0}, {"scale": 0}],
)
def test_an_interval_discriminator_of_wrong_sizes_is_refused(options):
    with pytest.raises(InputError):
        IntervalDiscriminator(**{"features": 5, "num_steps": 200, **options})


@pytest.mark.parametrize(
    "spikes",
    [
        torch.ones(51, 1, 1),
        torch.ones(50, 1, 2),
        torch.ones(50, 0, 1),
        torch.ones(50, 1),
        torch.full((50, 1, 1), 0.5),
        torch.full((50, 1, 1), math.nan),
    ],
)
def test_the_interval_discriminator_refuses_other_spikes(spikes):
    with pytest.raises(InputError, match="spikes"):
        IntervalDiscriminator(1, 50)(spikes, torch.zeros(1))


def test_the_traces_of_a_prefix_by_hand():
    d = PrefixDiscriminator(2, 0, 3, decays=(0.0, 0.5, 1.0))
    spikes = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]]])
    raw = [[1, 0, 1, 0, 1, 0], [1, 1, 1.5, 1, 2, 1], [0, 1, 0.75, 1.5, 2, 2]]
    most = torch.tensor([1, 1, 1.75, 1.75, 3, 3])
    torch.testing.assert_close(d.traces(spikes)[:, 0], torch.tensor(raw) / most)
    torch.testing.assert_close(d.traces(torch.ones(3, 1, 2))[-1, 0], torch.ones(6))


@pytest.mark.parametrize("classes", [0, 3])
def test_a_prefix_is_judged_by_its_own_steps_alone(classes, rng):
    d = PrefixDiscriminator(4, classes, 6, hidden=(8,), rng=rng)
    spikes, labels = torch.rand(6, 5, 4, generator=rng).round(), torch.tensor([0, 2, 1, 1, 0])
    logits = d.prefixes(spikes, labels)
    assert logits.shape == (6, 5)
    torch.testing.assert_close(d(spikes, labels), logits[-1])
    other = spikes.clone()
    other[3] = 1 - other[3]
    changed = (d.prefixes(other, labels) != logits).any(1)
    assert changed.tolist() == [False, False, False, True, True, True]


def test_step_by_step_a_prefix_discriminator_gives_the_same_logits(rng):
    d = PrefixDiscriminator(4, 3, 6, hidden=(8,), rng=rng)
    spikes, labels = torch.rand(6, 5, 4, generator=rng).round(), torch.tensor([0, 2, 1, 1, 0])
    state, found = None, []
    for step in spikes:
        logits, state = d.step(step, state, labels)
        found.append(logits)
    torch.testing.assert_close(torch.stack(found), d.prefixes(spikes, labels))


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"decays": ()}, {"decays": (1.5,)}], ids=str)
def test_a_prefix_discriminator_of_wrong_sizes_is_refused(options):
    with pytest.raises(InputError):
        PrefixDiscriminator(**{"features": 5, "classes": 2, "num_steps": 4, **options})


def test_a_generator_of_one_step_without_delay_is_a_sigmoid_belief_network(rng):
    net = ConditionalGenerator(3, 5, 1, hidden=7, hidden_delay=0, basis=identity_basis(1), rng=rng)
    noise = net.noise(2, rng)
    runs = net.sample(torch.tensor([0, 2]), noise).runs
    hidden, readout = net.network.layers["hidden"], net.network.layers["readout"]
    label = torch.eye(3)[[0, 2]]
    u = label @ hidden.weight[0] + hidden.bias
    torch.testing.assert_close(runs["hidden"].potentials[0], u.detach())
    h = runs["hidden"].spikes[0]
    u = torch.cat([label, h], -1) @ readout.weight[0] + readout.bias
    torch.testing.assert_close(runs["readout"].potentials[0], u.detach())


@pytest.mark.usefixtures("double")
def test_a_convolutional_generators_gradient_is_that_of_the_log_likelihood(rng):
    net = ConvolutionalGenerator(
        3, (2, 9, 9), 4, maps=2, kernel_size=5, latent_bits=2, basis=identity_basis(2), rng=rng
    )
    labels, noise = torch.tensor([0, 2]), net.noise(2, rng)
    run = net.sample(labels, noise)
    assert run.spikes.shape == (4, 2, 2, 9, 9)
    clamped = {name: layer_run.spikes for name, layer_run in run.runs.items()}

    def log_likelihood():
        exogenous = net.exogenous(labels, noise)
        runs = net.network.sample(exogenous, noise, clamped)
        return sum(
            (r.spikes * r.potentials - torch.nn.functional.softplus(r.potentials)).sum()
            for r in runs.values()
        )

    gradients = net.gradients(run, {name: r.score for name, r in run.runs.items()})
    for name, parameter in net.named_parameters():
        place = tuple(0 for _ in parameter.shape)
        with torch.no_grad():
            parameter[place] += 1e-5
            above = log_likelihood()
            parameter[place] -= 2e-5
            below = log_likelihood()
            parameter[place] += 1e-5
        slope = (above - below) / 2e-5
        torch.testing.assert_close(gradients[name][place], slope, rtol=1e-5, atol=1e-6)
    # Frames or neurons in a row: the same.
    flat = net.observe(run.spikes.flatten(2), labels, noise)
    assert torch.equal(flat.runs["readout"].potentials, run.runs["readout"].potentials)


def test_frames_that_do_not_fit_are_named():
    basis = identity_basis(2)
    conv, dense = GLMConv2d(2, 1, 3, basis=basis), GLMLayer(5, 8, basis=basis)
    with pytest.raises(InputError, match="maps="):
        GLMNetwork({"x": 5}, {"a": dense, "b": conv}, {"a": ["x"], "b": ["a"]})
    with pytest.raises(InputError, match="8 neurons"):
        GLMNetwork({"x": 5}, {"a": dense, "b": conv}, {"a": ["x"], "b": ["a"]}, {"a": (2, 3, 3)})
    with pytest.raises(InputError, match="GLM neurons"):
        GLMNetwork({"x": 5}, {"a": torch.nn.Linear(5, 8)}, {"a": ["x"]})
    with pytest.raises(InputError, match="margin"):
        ConvolutionalGenerator(3, (2, 9, 12), 4, basis=basis, kernel_size=5)
    with pytest.raises(InputError, match="at least 1"):
        ConvolutionalGenerator(3, (2, 9, 9), 4, basis=basis, maps=0)


@pytest.mark.parametrize("bits", [0, 3])
def test_a_generator_without_hidden_neurons_starts_at_given_rates(rng, bits):
    net = ConditionalGenerator(
        2, 4, 3, hidden=0, latent_bits=bits, basis=identity_basis(3), weight_std=0.0, rng=rng
    )
    rates = 0.05 + 0.9 * torch.rand(3, 2, 4, generator=rng)
    net.initialise_rates(rates)
    labels = torch.arange(2).repeat(4000)
    drawn = net(labels, rng)
    for label in range(2):
        # 24 means of 4,000 trials each: beyond 5 standard errors once in 70,000 runs.
        error = (drawn[:, labels == label].mean(1) - rates[:, label]).abs().max()
        assert error < 5 * 0.5 / 4000**0.5
    with pytest.raises(InputError, match="above 0"):
        net.initialise_rates(torch.zeros(3, 2, 4))
    with pytest.raises(InputError, match="rates: expected shape"):
        net.initialise_rates(rates[:2])


def test_initial_rates_do_not_depend_on_where_arrays_lie(rng):
    """A solver in single precision gave other last bits from one process to the next."""
    rates = 0.05 + 0.9 * torch.rand(10, 10, 578, generator=rng)
    basis, junk, found = raised_cosine_basis(5, 10), [], []
    for size in range(8):
        junk.append(torch.zeros(1 + 997 * size))
        net = ConditionalGenerator(
            10, 578, 10, hidden=0, basis=basis, rng=torch.Generator().manual_seed(0)
        )
        net.initialise_rates(rates.clone())
        found.append(net.network.layers["readout"].weight.detach())
    assert all(torch.equal(weight, found[0]) for weight in found)


def test_labels_that_are_bytes_are_labels_too(rng):
    discriminator = OnOffDiscriminator(16, 4, hidden=8, rng=rng)
    images, labels = torch.rand(4, 16, generator=rng), torch.full((4,), 3)
    assert torch.equal(discriminator(images, labels.byte()), discriminator(images, labels))


@pytest.mark.parametrize("size", [None, 2])
def test_trials_can_have_a_shape_while_the_layer_is_flat(rng, size):
    """A frame is the flat trial, reshaped: samples, given spikes and initial rates."""

    def make(readout):
        weights = torch.Generator().manual_seed(0)
        nets = [
            ConditionalGenerator(2, readout, 6, hidden=7, basis=exponential_basis(4, 2.0), rng=weights)
            for _ in range(size or 1)
        ]
        return Ensemble(nets) if size else nets[0]

    flat, framed = make(18), make((2, 3, 3))
    assert framed.shape == (2, 3, 3)
    labels, noise = torch.tensor([0, 1, 1, 0]), flat.noise(4, rng)
    one, other = flat.sample(labels, noise), framed.sample(labels, noise)
    assert other.spikes.shape == (6, 4, 2, 3, 3)
    assert other.runs["readout"].spikes.shape == (6, 4, 18)
    assert torch.equal(other.spikes.flatten(2), one.spikes)
    assert framed(labels, rng).shape == other.spikes.shape
    if size:
        return
    for spikes in (one.spikes, other.spikes):
        observed = framed.observe(spikes, labels, noise)
        assert torch.equal(observed.spikes, other.spikes)
    rates = 0.1 + 0.8 * torch.rand(6, 2, 18, generator=rng)
    flat.initialise_rates(rates)
    framed.initialise_rates(rates.reshape(6, 2, 2, 3, 3))
    weights = (net.network.layers["readout"].weight for net in (flat, framed))
    assert torch.equal(*weights)
    for readout in ((), (2, 0)):
        with pytest.raises(InputError, match="readout"):
            make(readout)


def test_silent_pixels_learn(rng):
    """The gradient passes at both ends of a pixel's window."""
    generator = TTFSGenerator(4, 2, rng=rng)
    times = torch.tensor([[0.5, 1.5, 1.0]], requires_grad=True)
    generator.images(times).sum().backward()
    assert times.grad.tolist() == [[-1.0, -1.0, -1.0]]
