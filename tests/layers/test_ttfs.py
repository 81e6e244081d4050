"""`TTFSLinear` and `TTFSRampLinear` as layers of models."""

import pytest
import snntorch
import torch
from snntorch import functional, spikegen, utils
from torch import nn

from snn_gan_ext import InputError, TTFSLinear, TTFSRampLinear
from snn_gan_ext.functional import ttfs

STEPS = 10


@pytest.fixture
def layer(rng):
    return TTFSLinear(8, 5, rng=rng)


def test_spikes_and_times_agree(layer, rng):
    times = torch.randint(0, STEPS + 1, (4, 8), generator=rng).float()
    spikes = layer(ttfs.spikes_of(times, STEPS))
    assert spikes.shape == (STEPS, 4, 5)
    assert (ttfs.times_of(spikes) == layer.fire(times, STEPS).times).all()


def test_two_layers_learn_the_same_from_spikes_as_from_times(layer, rng):
    second = TTFSLinear(5, 3, weight_mean=0.5, rng=rng)
    times = torch.randint(0, STEPS + 1, (4, 8), generator=rng).float()
    goal = torch.randint(0, STEPS, (4, 3), generator=rng).float()

    def gradients(out):
        loss = (out - goal).square().sum()
        return torch.autograd.grad(loss, (layer.weight, second.weight))

    by_times = gradients(second.fire(layer.fire(times, STEPS).times, STEPS).times)
    stack = nn.Sequential(layer, second)
    by_spikes = gradients(ttfs.times_of(stack(ttfs.spikes_of(times, STEPS))))
    for a, b in zip(by_times, by_spikes, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
        assert a.abs().sum() > 0


def test_in_an_snntorch_model_with_snntorchs_code_and_loss(rng):
    """On latency-coded inputs, snnTorch's loss on first spikes decreases."""
    images = torch.rand(16, 12, generator=rng)
    targets = torch.arange(16) % 3
    spikes = spikegen.latency(images, num_steps=STEPS, normalize=True, linear=True)
    net = nn.Sequential(
        TTFSLinear(12, 40, weight_mean=0.2, rng=rng),
        TTFSLinear(40, 3, weight_mean=0.05, rng=rng),
    )
    utils.reset(net)
    loss_of = functional.mse_temporal_loss(target_is_time=False, on_target=2, off_target=8)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = loss_of(net(spikes), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_names_in_snntorch():
    assert snntorch.TTFSLinear is TTFSLinear
    assert snntorch.TTFSRampLinear is TTFSRampLinear


def test_the_seed_decides_the_weights():
    def weights(seed):
        return TTFSRampLinear(6, 4, horizon=1.0, rng=torch.Generator().manual_seed(seed)).weight

    assert (weights(3) == weights(3)).all()
    assert not (weights(3) == weights(4)).any()


def test_state_dict_round_trip(layer):
    other = TTFSLinear(8, 5)
    other.load_state_dict(layer.state_dict())
    assert (other.weight == layer.weight).all()


def test_half_precision_keeps_late_steps_apart(rng):
    """bfloat16 has no 1001 steps; times are kept in single precision."""
    layer = TTFSLinear(2, 1, weight_mean=0.5, weight_std=0.0).bfloat16()
    fired = layer.fire(torch.tensor([[1000.0, 1001.0]]), 2000)
    assert fired.times.item() == 1001
    assert layer(torch.ones(4, 3, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    layer.fire(torch.zeros(1, 2), 5).times.sum().backward()
    assert layer.weight.grad.dtype == torch.bfloat16


# PyTorch's compiler makes an instance of each Function, of which PyTorch itself warns.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_models_fire_alike(layer, rng):
    spikes = (torch.rand(STEPS, 4, 8, generator=rng) < 0.2).float()
    compiled = torch.compile(layer, backend="eager")
    assert torch.equal(compiled(spikes), layer(spikes))


def test_nan_weights_are_refused(layer):
    with torch.no_grad():
        layer.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="weight: expected finite"):
        layer(torch.zeros(STEPS, 1, 8))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x(torch.zeros(4, 8)), "stack the steps"),
        (lambda x: x(torch.zeros(STEPS, 4, 7)), r"\[T, B, 8\]"),
        (lambda x: x(torch.zeros(0, 4, 8)), r"\[T, B, 8\]"),
        (lambda x: x(torch.full((STEPS, 4, 8), 0.5)), "zeros and ones"),
        (lambda x: x(torch.full((STEPS, 4, 8), torch.nan)), "zeros and ones"),
        (lambda x: x([1, 2]), "a tensor"),
        (lambda x: x.fire(torch.zeros(4, 7), STEPS), r"\[B, 8\]"),
        (lambda x: x.fire(torch.full((4, 8), 0.5), STEPS), "whole steps"),
        (lambda x: x.fire(torch.full((4, 8), -1.0), STEPS), "0 or later"),
        (lambda x: x.fire(torch.full((4, 8), torch.nan), STEPS), "finite"),
        (lambda x: x.fire(torch.zeros(4, 8), 0), "at least 1"),
        (lambda x: TTFSLinear(0, 3), "at least 1"),
        (lambda x: TTFSLinear(2, 3, threshold=0.0), "above 0"),
        (lambda x: TTFSLinear(2, 3, weight_std=-1.0), "0 or more"),
        (lambda x: TTFSRampLinear(2, 3, horizon=0.0), "above 0"),
        (lambda x: TTFSRampLinear(2, 3, horizon=1.0, current=torch.inf), "finite"),
        (lambda x: TTFSRampLinear(2, 3, horizon=1.0)(torch.full((1, 2), -0.1)), "0 or later"),
    ],
)
def test_bad_input_is_refused(layer, call, words):
    with pytest.raises(InputError, match=words):
        call(layer)


@pytest.mark.parametrize("grad", [False, True])
def test_autocast_moves_no_spike(grad, rng, monkeypatch):
    steps, ramp = (
        TTFSLinear(300, 50, rng=rng),
        TTFSRampLinear(300, 50, horizon=4.0, rng=rng),
    )
    times = torch.randint(0, 65, (20, 300), generator=rng).float()
    monkeypatch.setattr(ttfs, "arrays_of", lambda *tensors: None)  # as on a GPU

    def fired():
        return steps.fire(times, 64).times, ramp(times / 16), ramp(times / 16, ticks=256)

    expected = fired()
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        found = fired()
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b)
