import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_gan_ext import InputError
from snn_gan_ext.coding.augment import turned
from snn_gan_ext.coding.images import (
    add_noise,
    pooled_decode,
    rate_decode,
    rate_encode,
    time_surface_decode,
)


def test_rate_code_is_bernoulli_and_decodes_to_the_image(rng):
    """False-alarm rate below 1e-6 over 50 pixels; an error of 3 % must fail."""
    images = torch.rand(5, 10, generator=rng)
    steps = 40_000
    decoded = rate_decode(rate_encode(images, steps, rng=rng))
    bound = 6 * 0.5 / steps**0.5
    assert (decoded - images).abs().max() < bound
    wrong = rate_decode(rate_encode((images * 0.97), steps, rng=rng))
    assert (wrong - images).abs().max() > bound


def test_spikes_are_exact_zeros_and_ones_and_follow_the_noise():
    images = torch.tensor([[0.0, 0.5, 1.0]])
    uniforms = torch.tensor([[[0.0, 0.4, 0.999]], [[0.0, 0.5, 0.0]]])
    spikes = rate_encode(images, 2, uniforms=uniforms)
    assert spikes.tolist() == [[[0.0, 1.0, 1.0]], [[0.0, 0.0, 1.0]]]


@given(st.integers(1, 12), st.floats(0.1, 50.0))
def test_time_surface_is_normalised_and_prefers_late_spikes(steps, decay):
    always = time_surface_decode(torch.ones(steps, 1, 1), decay)
    assert always.item() == pytest.approx(1.0, abs=1e-5)
    single = torch.eye(steps).unsqueeze(1)  # neuron n fires at step n alone
    surface = time_surface_decode(single, decay)[0]
    assert (surface.diff() > 0).all()


def test_time_surface_by_hand():
    spikes = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    kernel = torch.exp(-torch.tensor([2.0, 1.0, 0.0]) / 2)
    expected = (kernel[0] + kernel[2]) / kernel.sum()
    torch.testing.assert_close(time_surface_decode(spikes, 2.0).squeeze(), expected)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: rate_encode(torch.tensor([[1.5]]), 3), r"\[0, 1\]"),
        (lambda: rate_encode(torch.tensor([[-0.1]]), 3), r"\[0, 1\]"),
        (lambda: rate_encode(torch.tensor([[torch.nan]]), 3), "NaN"),
        (lambda: rate_encode(torch.ones(2, 3, 3), 3), r"\[B, N\]"),
        (lambda: rate_encode(torch.ones(2, 3, dtype=torch.uint8), 3), "floats"),
        (lambda: rate_encode(torch.ones(2, 3), 0), "steps"),
        (lambda: rate_encode(torch.ones(2, 3), 2, uniforms=torch.rand(3, 2, 3)), "uniforms"),
        (lambda: time_surface_decode(torch.ones(2, 1, 1), 0.0), "decay"),
    ],
)
def test_wrong_input_is_named(call, names):
    with pytest.raises(InputError, match=names):
        call()


def test_pooled_decoding_counts_within_bins():
    spikes = torch.zeros(4, 1, 2)
    spikes[0, 0, 0] = spikes[1, 0, 0] = spikes[3, 0, 1] = 1
    assert pooled_decode(spikes, 2).tolist() == [[1.0, 0.0, 0.0, 0.5]]
    for width in (0, 3, 8):
        with pytest.raises(InputError, match="divisor"):
            pooled_decode(spikes, width)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_noise_reaches_the_given_share_of_pixels(rng, fraction):
    clean = torch.full((200, 20), 0.2)
    noisy = add_noise(clean, fraction, rng)
    assert ((noisy != clean).sum(1) == round(20 * fraction)).all()
    assert noisy.min() >= 0.2
    assert noisy.max() <= 1
    if fraction == 1:
        assert abs((noisy == 1).float().mean() - 0.2) < 0.04  # 6 standard deviations
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            add_noise(clean, wrong, rng)


@pytest.mark.parametrize("degrees", [float("nan"), float("inf"), None, "90"])
def test_an_angle_is_a_finite_number(degrees):
    with pytest.raises(InputError, match="degrees"):
        turned(torch.rand(2, 4), degrees)
