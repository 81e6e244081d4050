"""Neurons that spike at most once: both implementations against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_gan_ext import InputError
from snn_gan_ext.functional import ttfs

STEPS, HORIZON = 12, 1.5


@pytest.fixture(params=["kernels", "torch"], autouse=True)
def way(request, monkeypatch):
    """Every test holds for the compiled kernels and for PyTorch operations."""
    if request.param == "torch":
        monkeypatch.setattr(ttfs, "arrays_of", lambda *tensors: None)
        monkeypatch.setattr(ttfs, "CHUNK", 100)  # so that trials come in several chunks
    return request.param


def whole(rng, batch=6, in_features=15, out_features=9):
    """Whole firing steps, and weights in 32nds, which no order of addition rounds."""
    inputs = torch.randint(0, STEPS + 3, (batch, in_features), generator=rng).double()
    weight = torch.randint(-10, 24, (in_features, out_features), generator=rng).double() / 32
    return inputs, weight


def real(rng, batch=6, in_features=15, out_features=9):
    inputs = torch.rand(batch, in_features, generator=rng, dtype=torch.float64) * (HORIZON + 0.2)
    weight = 0.3 * torch.randn(in_features, out_features, generator=rng, dtype=torch.float64) + 0.1
    current = torch.rand(out_features, generator=rng, dtype=torch.float64)
    return inputs, weight, current


def steps_by_hand(inputs, weight, threshold):
    """S4NN's forward pass, step by step."""
    times = torch.full((len(inputs), weight.shape[1]), float(STEPS), dtype=weight.dtype)
    potentials = torch.zeros_like(times)
    for t in range(STEPS):
        now = (inputs == t).to(weight) @ weight
        potentials = torch.where(times == STEPS, potentials + now, potentials)
        times = torch.where((times == STEPS) & (potentials >= threshold), float(t), times)
    return times, potentials


def slopes_by_hand(inputs, weight, times, gradient):
    """S4NN's backward pass, pair by pair."""
    by_inputs, by_weight = torch.zeros_like(inputs), torch.zeros_like(weight)
    for b in range(len(inputs)):
        for i in range(weight.shape[0]):
            for j in range(weight.shape[1]):
                if inputs[b, i] <= min(times[b, j], STEPS - 1):
                    by_weight[i, j] -= gradient[b, j]
                    by_inputs[b, i] += weight[i, j] * gradient[b, j]
    return by_inputs, by_weight


@pytest.mark.parametrize("seed", range(5))
def test_firing_steps_equal_a_loop_over_time(seed):
    """A share of 0.50 +- 0.06 fires (60 seeds)."""
    inputs, weight = whole(torch.Generator().manual_seed(seed), out_features=90)
    found = ttfs.step_times(inputs, weight, 2.5, STEPS)
    times, potentials = steps_by_hand(inputs, weight, 2.5)
    assert (found.times == times).all()
    assert (found.potentials == potentials).all()
    assert 0 < (times < STEPS).double().mean() < 1


def test_slopes_of_firing_steps_equal_a_loop_over_pairs(rng):
    inputs, weight = whole(rng)
    inputs.requires_grad_()
    weight.requires_grad_()
    times = ttfs.step_times(inputs, weight, 1.0, STEPS).times
    gradient = torch.randn(times.shape, generator=rng, dtype=torch.float64)
    times.backward(gradient)
    by_inputs, by_weight = slopes_by_hand(inputs.detach(), weight.detach(), times.detach(), gradient)
    assert torch.allclose(inputs.grad, by_inputs, atol=1e-12)
    assert torch.allclose(weight.grad, by_weight, atol=1e-12)


def ramps_by_hand(inputs, weight, current, threshold):
    """First crossings of the potentials on a fine grid."""
    grid = torch.linspace(0, HORIZON, 30_001, dtype=torch.float64)
    times = torch.full((len(inputs), weight.shape[1]), HORIZON, dtype=torch.float64)
    for b in range(len(inputs)):
        potentials = grid[:, None] * current + (grid[:, None] - inputs[b]).clamp(min=0) @ weight
        crossed = potentials >= threshold
        first = crossed.byte().argmax(0)
        times[b] = torch.where(crossed.any(0), grid[first], HORIZON)
    return times


@pytest.mark.parametrize("seed", range(5))
def test_ramp_times_equal_those_on_a_fine_grid(seed):
    arguments = real(torch.Generator().manual_seed(seed))
    found = ttfs.ramp_times(*arguments, 1.0, HORIZON)
    by_hand = ramps_by_hand(*arguments, 1.0)
    assert ((found - by_hand).abs() <= HORIZON / 30_000).all()
    assert 0 < (found < HORIZON).double().mean() < 1


def test_first_and_second_derivatives_of_ramps_are_exact(rng):
    def fire(*arguments):
        return ttfs.ramp_times(*arguments, 1.0, HORIZON, least_slope=1e-9, silent_slope=0.0)

    arguments = [x.requires_grad_() for x in real(rng, 3, 6, 4)]
    assert torch.autograd.gradcheck(fire, arguments)
    assert torch.autograd.gradgradcheck(fire, arguments)


def test_bounds_of_the_slope(rng):
    """One input at 0 and one at 1; the neurons rise steeply, hardly, and not at all."""
    inputs = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    weight = torch.tensor([[2.0, 0.9, 0.1], [1.0, -0.85, 0.1]], dtype=torch.float64, requires_grad=True)
    times = ttfs.ramp_times(inputs, weight, torch.zeros(3, dtype=torch.float64), 1.0, 4.0)
    assert times[0].tolist() == pytest.approx([0.5, 3.0, 4.0])
    times.sum().backward()
    assert torch.allclose(weight.grad[0], torch.tensor([-0.25, -3 / 0.25, -0.4], dtype=torch.float64))
    assert torch.allclose(weight.grad[1], torch.tensor([0.0, -2 / 0.25, -0.3], dtype=torch.float64))


def test_second_derivatives_pass_at_the_bound_of_the_slope():
    """A neuron without input and a current of the bound itself: d2t / db2 = 2 t / s^2."""
    current = torch.tensor([0.25], dtype=torch.float64, requires_grad=True)
    silence, weight = torch.full((1, 1), 9.0).double(), torch.zeros(1, 1).double()
    time = ttfs.ramp_times(silence, weight, current, 0.25, 4.0, least_slope=0.25)
    (slope,) = torch.autograd.grad(time.sum(), current, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), current)
    assert (time.item(), slope.item(), curvature.item()) == (1.0, -4.0, 32.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_passing_clamp_is_a_clamp_whose_gradient_includes_the_bounds(dtype):
    x = torch.tensor([-torch.inf, -0.5, 0.0, 0.3, 1.0, 1.5, torch.inf], dtype=dtype, requires_grad=True)
    for bounds, passes in (
        ((0, 1), [0, 0, 1, 1, 1, 0, 0]),
        ((0,), [0, 0, 1, 1, 1, 1, 1]),
        ((-torch.inf, 1), [1, 1, 1, 1, 1, 0, 0]),
    ):
        clamped = ttfs.clamp_passing(x, *bounds)
        assert torch.equal(clamped, x.clamp(*bounds))
        (slope,) = torch.autograd.grad(clamped.sum(), x)
        assert slope.tolist() == passes
    assert ttfs.clamp_passing(torch.tensor(torch.nan), 0, 1).isnan()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 4))
def test_at_most_one_spike_a_neuron(seed, in_features, out_features, threshold):
    rng = torch.Generator().manual_seed(seed)
    inputs, weight = whole(rng, 4, in_features, out_features)
    times = ttfs.step_times(inputs, weight, threshold, STEPS).times
    spikes = ttfs.spikes_of(times, STEPS)
    assert (spikes.sum(0) == (times < STEPS)).all()
    assert (ttfs.times_of(spikes) == times).all()


def test_spikes_carry_the_gradient_of_times(rng):
    times = torch.tensor([[0.0, 3.0, 11.0, 12.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 3.0, 4.0], dtype=torch.float64)
    (weights * ttfs.times_of(ttfs.spikes_of(times, STEPS))).sum().backward()
    assert torch.allclose(times.grad[0], weights)


def test_only_the_first_spike_counts():
    spikes = torch.zeros(5, 1, 2, requires_grad=True)
    with torch.no_grad():
        spikes[[1, 3], 0, 0] = 1
    ttfs.times_of(spikes).sum().backward()
    assert spikes.grad[:, 0, 0].tolist() == [-5, -4, -3, 0, -1]
    assert spikes.grad[:, 0, 1].tolist() == [-5, -4, -3, -2, -1]


def test_masked_products_are_each_others_derivatives(rng):
    before, after = torch.rand(4, 5, generator=rng), torch.rand(4, 3, generator=rng)
    values, errors = torch.randn(4, 5, generator=rng), torch.randn(4, 3, generator=rng)
    weight = torch.randn(5, 3, generator=rng)
    before, after, *x = (t.double() for t in (before, after, values, errors, weight))
    mask = (before[:, :, None] <= after[:, None]).double()
    product = ttfs.masked_product(x[0], x[2], before, after)
    assert torch.allclose(product, torch.einsum("bi,io,bio->bo", x[0], x[2], mask))
    outer = ttfs.masked_outer(x[0], x[1], before, after)
    assert torch.allclose(outer, torch.einsum("bi,bo,bio->io", x[0], x[1], mask))
    x = [t.requires_grad_() for t in x]
    for function, arguments in (
        (ttfs.masked_product, (x[0], x[2])),
        (ttfs.masked_outer, (x[0], x[1])),
    ):
        call = lambda a, b, f=function: f(a, b, before, after)  # noqa: E731
        assert torch.autograd.gradcheck(call, arguments)
        assert torch.autograd.gradgradcheck(call, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_empty_batch_and_no_inputs_that_fire(dtype):
    weight, current = torch.ones(3, 2, dtype=dtype), torch.zeros(2, dtype=dtype)
    nothing = torch.full((1, 3), 99.0, dtype=dtype)
    assert ttfs.step_times(nothing, weight, 1.0, STEPS).times.tolist() == [[STEPS, STEPS]]
    assert ttfs.ramp_times(nothing, weight, current, 1.0, HORIZON).tolist() == [[HORIZON, HORIZON]]
    assert ttfs.step_times(nothing[:0], weight, 1.0, STEPS).times.shape == (0, 2)
    assert ttfs.ramp_times(nothing[:0], weight, current, 1.0, HORIZON).shape == (0, 2)


def test_on_each_device(device, rng):
    inputs, weight = whole(rng)
    here = ttfs.step_times(inputs.to(device), weight.to(device), 1.0, STEPS).times
    assert (here.cpu() == ttfs.step_times(inputs, weight, 1.0, STEPS).times).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: ttfs.step_times(x, torch.ones(4, 3), 1.0, 5), "weight: .* .2, O., got .4, 3."),
        (lambda x: ttfs.step_times(x[0], torch.ones(2, 3), 1.0, 5), "inputs"),
        (lambda x: ttfs.step_times(x * torch.nan, torch.ones(2, 3), 1.0, 5), "finite"),
        (lambda x: ttfs.step_times(x, torch.ones(2, 3), 1.0, 0), "steps"),
        (lambda x: ttfs.step_times(x, torch.ones(2, 3), 1.0, 2**24 + 1), "steps"),
        (lambda x: ttfs.ramp_times(x, torch.ones(2, 3), torch.ones(2), 1.0, 2.0), "current"),
        (lambda x: ttfs.ramp_times(x, torch.ones(9, 3), torch.ones(3), 1.0, 2.0), "weight"),
        (lambda x: ttfs.masked_product(x, torch.ones(3, 2), x, x), "weight"),
        (lambda x: ttfs.masked_product(x[:1], torch.ones(2, 2), x, x), "values"),
        (lambda x: ttfs.masked_outer(x, x[:, :1], x, x), "errors"),
        (lambda x: ttfs.masked_outer(x, x, x, x[:2]), "after"),
    ],
)
def test_mismatched_shapes_are_refused(call, words):
    """The compiled loops would read and write out of bounds."""
    with pytest.raises(InputError, match=words):
        call(torch.zeros(3, 2))
