"""Neurons of a layer that hear each other: one law in all ways of running, and exact gradients."""

import pytest
import snntorch
import torch

from snn_gan_ext import (
    GLMConv1d,
    GLMConv2d,
    GLMConvTranspose2d,
    GLMLayer,
    InputError,
    RGLMConv2d,
    RGLMLayer,
    masks,
)
from snn_gan_ext.functional.bases import exponential_basis, raised_cosine_basis

pytestmark = pytest.mark.usefixtures("double")

LONGER = raised_cosine_basis(2, 8).double()
TILE = torch.tensor([[[0, 1], [1, 0]], [[1, 0], [2, 2]]])
DENSE = {
    "past": {"coupling": True},
    "ring, triangular, counts": {
        "coupling": masks.ring(5),
        "same_step": "triangular",
        "counts": 3,
    },
    "an order alone": {"same_step": [3, 1, 0, 2, 4]},
    "two levels": {
        "same_step": masks.blocks([2, 3], between=True).triu(),
        "counts": 1,
        "coupling": True,
        "coupling_basis": LONGER,
    },
    "refractory": {"coupling": True, "refractory": 7},
}
FRAMES = {
    "conv": (GLMConv2d, {"coupling_kernel": 3}),
    "checkerboard": (GLMConv2d, {"coupling_kernel": (3, 5), "same_step": "checkerboard"}),
    "transposed, a tile": (
        GLMConvTranspose2d,
        {"coupling_kernel": 3, "same_step": TILE, "coupling_basis": LONGER},
    ),
    "line": (GLMConv1d, {"coupling_kernel": 5, "same_step": "checkerboard"}),
}
CASES = {
    **{
        name: (lambda o=options, **more: dense(**o, **more), (3,), (5,))
        for name, options in DENSE.items()
    },
    **{
        name: (
            lambda k=kind, o=options, **more: frames(k, **o, **more),
            (1, 7) if kind is GLMConv1d else (1, 5, 7),
            (2, 7) if kind is GLMConv1d else (2, 5, 7),
        )
        for name, (kind, options) in FRAMES.items()
    },
}
each = pytest.mark.parametrize(("make", "inputs", "outputs"), CASES.values(), ids=CASES)


def dense(**options):
    return lively(GLMLayer(3, 5, basis=exponential_basis(4, 2.0), bias_init=-1.0, **options))


def frames(kind, **options):
    basis = exponential_basis(4, 2.0)
    return lively(kind(1, 2, 3, padding=1, basis=basis, bias_init=-1.0, **options))


def lively(layer):
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(-0.2, 0.5, generator=rng)
    return layer


def trials(inputs, outputs, steps=15, batch=4):
    rng = torch.Generator().manual_seed(1)
    x = (torch.rand(steps, batch, *inputs, generator=rng) < 0.3).double()
    return x, torch.rand(steps, batch, *outputs, generator=rng)


def from_filters(layer, x, spikes):
    """Potentials by the definition: a sum over all filters, lags and neurons."""
    filters = layer.filters(x.shape[2:])
    neurons, flat = spikes[0, 0].numel(), spikes.flatten(2)
    between = filters.coupling.reshape(-1, neurons, neurons)
    own = filters.feedback.reshape(-1, neurons)
    u = layer.drive(x).detach().flatten(2) + filters.bias.flatten()
    for t in range(len(spikes)):
        for lag in range(min(len(between), t + 1)):
            u[t] += flat[t - lag] @ between[lag]
            u[t] += flat[t - lag] * own[lag - 1] if 0 < lag <= len(own) else 0
        if filters.counts is not None:
            levels = filters.levels.flatten()
            earlier = flat[t] @ (levels[:, None] < levels).double()
            table = torch.cat([torch.zeros(1), filters.counts])
            u[t] += table[earlier.long().clamp(max=len(filters.counts))]
    return u.reshape(spikes.shape)


@each
def test_potentials_are_the_sum_of_all_filters(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    run = layer.sample(x, uniforms=uniforms)
    assert 0.1 < run.spikes.mean() < 0.9
    torch.testing.assert_close(run.potentials, from_filters(layer, x, run.spikes))
    assert torch.equal(run.spikes, (torch.sigmoid(run.potentials) > uniforms).double())


@each
def test_all_ways_of_running_give_the_same_spikes(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    expected = layer.sample(x, uniforms=uniforms)
    with_graph, _ = layer(x, uniforms=uniforms)
    assert torch.equal(with_graph, expected.spikes)
    for width in (1, 4):  # steps, and pieces shorter than the filters
        state, spikes = None, []
        for start in range(0, len(x), width):
            now = slice(start, start + width)
            run = layer.sample(x[now], state, uniforms=uniforms[now])
            state = run.state
            spikes.append(run.spikes)
        assert torch.equal(torch.cat(spikes), expected.spikes)
        torch.testing.assert_close(state, expected.state)
    hidden = make(init_hidden=True)
    with torch.no_grad():
        steps = [hidden(now, uniforms=noise) for now, noise in zip(x, uniforms, strict=True)]
    assert torch.equal(torch.stack(steps), expected.spikes)


@each
def test_given_spikes_have_the_potentials_of_drawn_ones(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    drawn = layer.sample(x, uniforms=uniforms)
    given = layer.observe(x, drawn.spikes)
    assert torch.equal(given.spikes, drawn.spikes)
    torch.testing.assert_close(given.potentials, drawn.potentials)
    state = layer.observe(x[:5], drawn.spikes[:5]).state
    later = layer.observe(x[5:], drawn.spikes[5:], state)
    torch.testing.assert_close(later.potentials, drawn.potentials[5:])


@each
def test_gradients_are_those_of_the_likelihood(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    run = layer.sample(x, uniforms=uniforms)
    ours = layer.gradients(run, run.score)
    forced = layer._run(x, None, 1 - run.spikes, None, observed=True)  # with a graph
    names, parameters = zip(*layer.named_parameters(), strict=True)
    exact = torch.autograd.grad(forced.log_likelihood.sum(), parameters)
    for name, gradient in zip(names, exact, strict=True):
        torch.testing.assert_close(ours[name], gradient)
    assert ours.keys() == set(names)


@each
def test_gradients_add_up_over_trials_and_over_pieces(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    run = layer.sample(x, uniforms=uniforms)
    whole = layer.gradients(run, run.score)
    by_trial = layer.gradients(run, run.score, per_sample=True)
    pieces = [layer.gradients(piece, piece.score) for piece in run.pieces(4)]
    for name, gradient in whole.items():
        torch.testing.assert_close(by_trial[name].sum(0), gradient)
        torch.testing.assert_close(sum(piece[name] for piece in pieces), gradient)


@each
def test_backpropagation_passes_the_coupling(make, inputs, outputs):
    layer, (x, uniforms) = make(), trials(inputs, outputs)
    spikes, _ = layer(x, uniforms=uniforms)
    spikes[-1].sum().backward()  # reached through other neurons alone
    weights = [w for w in (layer.coupling, layer.same_step, layer.count) if w is not None]
    assert all(weight.grad.abs().sum() > 0 for weight in weights)


def test_a_layer_that_expects_hears_expected_spikes():
    layer = dense(coupling=True, same_step="triangular", counts=2, eval_mode="expected").eval()
    x, _ = trials((3,), (5,), steps=3)
    with torch.no_grad():
        means, _ = layer(x[:, :1])
        many = layer.sample(x[:, :1].expand(-1, 20_000, -1), rng=torch.Generator().manual_seed(0))
    # A mean field, exact for the first neuron of the first step; the error of a mean is .0035.
    assert abs(means[0, 0, 0] - many.spikes[0, :, 0].mean()) < 0.018
    assert (means[:, 0] - many.spikes.mean(1)).abs().max() < 0.15


def test_a_new_layer_is_that_without_coupling():
    rng = [torch.Generator().manual_seed(3) for _ in range(2)]
    layer = GLMLayer(3, 5, coupling=True, same_step="triangular", rng=rng[0])
    plain = GLMLayer(3, 5, rng=rng[1])
    x, uniforms = trials((3,), (5,))
    assert torch.equal(layer(x, uniforms=uniforms)[0], plain(x, uniforms=uniforms)[0])


def test_a_pair_that_fires_together_by_construction_is_matched_at_lag_0():
    layer = GLMLayer(1, 2, same_step="triangular", bias_init=-2.0)
    layer.same_step.data[0, 1] = 4.0
    spikes = layer.sample(torch.zeros(1, 100_000, 1), rng=torch.Generator().manual_seed(0)).spikes[0]
    first, second = spikes.bool().T
    p = torch.sigmoid(torch.tensor([-2.0, 2.0]))
    # Five standard errors of a share of some 12,000 trials.
    assert abs(second[first].double().mean() - p[1]) < 5 * 0.003
    assert abs(second[~first].double().mean() - p[0]) < 5 * 0.0011


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coupling": torch.ones(4, 4, dtype=torch.bool)}, r"coupling: expected .*\[5, 5\]"),
        (
            {"coupling": torch.ones(5, 5, dtype=torch.bool)},
            "coupling: expected no connection of a neuron",
        ),
        ({"coupling": torch.ones(5, 5)}, "coupling: expected booleans"),
        ({"coupling_basis": LONGER}, "coupling_basis: expected a layer with coupling"),
        ({"coupling": True, "coupling_basis": torch.ones(2, 3)}, "coupling_basis"),
        ({"counts": 3}, "counts: expected a layer with same_step"),
        ({"counts": -1, "same_step": "triangular"}, "counts"),
        ({"same_step": masks.ring(5)}, "same_step: expected connections within a step without loops"),
        ({"same_step": "circular"}, "same_step: expected one of triangular"),
        ({"same_step": [0, 1, 2, 3, 3]}, r"order: expected each of 0 \.\. 4 once"),
        ({"same_step": [0, 1, 2]}, r"same_step: expected .*\[5, 5\]"),
        ({"coupling": "ring"}, "coupling: expected"),
        ({"same_step": 3}, "same_step: expected"),
    ],
)
def test_impossible_couplings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        GLMLayer(3, 5, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coupling_kernel": 4}, "coupling_kernel: expected odd"),
        ({"coupling_kernel": 0}, "coupling_kernel"),
        ({"coupling_kernel": (3, 3, 3)}, "coupling_kernel: expected one number, or 2"),
        ({"same_step": "checkerboard"}, "same_step: expected a layer with coupling_kernel"),
        ({"coupling_basis": LONGER}, "coupling_basis: expected a layer with coupling_kernel"),
        ({"coupling_kernel": 3, "same_step": "triangular"}, "same_step: expected one of checkerboard"),
        ({"coupling_kernel": 3, "same_step": torch.zeros(3, 2, 2).long()}, "same_step"),
        (
            {"coupling_kernel": 3, "same_step": torch.zeros(2, 2, 2)},
            "same_step: expected whole numbers",
        ),
        (
            {"coupling_kernel": 3, "same_step": -torch.ones(2, 2, 2).long()},
            "same_step: expected phases",
        ),
        ({"coupling_kernel": 3, "same_step": torch.zeros(2, 0, 2).long()}, "same_step"),
    ],
)
def test_impossible_couplings_of_frames_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        GLMConv2d(1, 2, 3, **options)


@pytest.mark.parametrize(
    "make", [lambda **o: RGLMLayer(3, 5, **o), lambda **o: RGLMConv2d(1, 2, 3, **o)]
)
def test_recurrent_layers_are_coupled_ones_under_snntorchs_name(make):
    layer = make()
    assert getattr(snntorch, type(layer).__name__) is type(layer)
    assert layer.coupling is not None
    assert not layer.coupling.any()
    assert make(same_step=None, init_hidden=True, coupling_basis=LONGER).coupling.shape[0] == 2
