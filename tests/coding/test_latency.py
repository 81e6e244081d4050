"""Latency code and image transforms."""

import pytest
import torch
from snntorch import spikegen

from snn_gan_ext import InputError
from snn_gan_ext.coding.augment import random_affine, turned
from snn_gan_ext.coding.latency import latency_decode, latency_encode
from snn_gan_ext.functional.ttfs import spikes_of

STEPS = 20


def test_latencies_equal_snntorchs(rng):
    images = torch.rand(30, 40, generator=rng)
    images[:, :5] = 0
    images[0] = torch.linspace(0, 1, 40)
    theirs = spikegen.latency(images, num_steps=STEPS, normalize=True, linear=True, clip=True)
    assert (spikes_of(latency_encode(images, STEPS), STEPS) == theirs).all()


def test_round_trip(rng):
    images = torch.rand(5, 7, generator=rng).clamp(min=0.05)
    back = latency_decode(latency_encode(images, STEPS), STEPS)
    assert (back - images).abs().max() <= 0.5 / (STEPS - 1) + 1e-6
    assert latency_decode(torch.full((1, 1), float(STEPS)), STEPS).item() == 0


def test_the_darkest_pixel_that_fires_has_a_gradient():
    times = torch.tensor([[0.0, 5.0, STEPS - 1.0, float(STEPS)]], requires_grad=True)
    latency_decode(times, STEPS).sum().backward()
    slope = -1 / (STEPS - 1)
    assert times.grad[0].tolist() == pytest.approx([slope, slope, slope, 0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: latency_encode(x, 1), "at least 2"),
        (lambda x: latency_encode(x, STEPS, threshold=0.0), "above 0"),
        (lambda x: latency_encode(x + 1, STEPS), r"values in \[0, 1\]"),
        (lambda x: latency_encode(x * torch.nan, STEPS), r"values in \[0, 1\]"),
        (lambda x: latency_decode(x, 1), "at least 2"),
        (lambda x: latency_decode(x - 1, STEPS), "0 or later"),
        (lambda x: latency_decode(x * torch.nan, STEPS), "0 or later"),
        (lambda x: random_affine(torch.zeros(2, 8)), "square"),
        (lambda x: random_affine(x, scale=1.0), "below 1"),
        (lambda x: random_affine(x, shift=-1), "from 0 to 3"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call(torch.full((2, 9), 0.5))


def test_an_affine_map_with_limits_of_0_is_the_identity(rng):
    images = torch.rand(3, 49, generator=rng)
    assert (random_affine(images, degrees=0, scale=0, shift=0, rng=rng) == images).all()


def test_every_shift_of_whole_pixels_occurs(rng):
    dot = torch.zeros(400, 5, 5)
    dot[:, 2, 2] = 1
    moved = random_affine(dot.flatten(1), degrees=0, scale=0, shift=1, rng=rng)
    counts = moved.view(400, 5, 5).sum(0)
    assert (counts[1:4, 1:4] > 20).all()
    assert counts.sum() == 400


@pytest.mark.parametrize("change", [{"degrees": 30}, {"scale": 0.2}, {"shift": 2}], ids=str)
def test_each_transform_changes_images_without_new_grey_levels(change, rng):
    images = (torch.rand(10, 100, generator=rng) > 0.5).float()
    still = {"degrees": 0, "scale": 0, "shift": 0}
    moved = random_affine(images, **(still | change), rng=rng)
    assert ((moved == 0) | (moved == 1)).all()
    assert (moved != images).any()


def test_rotation_keeps_the_distance_from_the_centre_and_goes_both_ways(rng):
    dot = torch.zeros(200, 21, 21)
    dot[:, 10, 18] = 1
    turned_dots = random_affine(dot.flatten(1), degrees=90, scale=0, shift=0, rng=rng)
    row, column = (turned_dots.view(-1, 21, 21).nonzero()[:, 1:] - 10).float().unbind(1)
    assert (torch.hypot(row, column) - 8).abs().max() < 1
    assert row.min() <= -7
    assert row.max() >= 7
    assert column.min() >= -1


def test_scaling_makes_images_larger_and_smaller_about_their_centre(rng):
    square = torch.zeros(200, 20, 20)
    square[:, 6:14, 6:14] = 1
    scaled = random_affine(square.flatten(1), degrees=0, scale=0.5, shift=0, rng=rng)
    assert torch.equal(scaled, scaled.flip(1))
    sides = scaled.sum(1).sqrt()
    assert 8 / 1.5 - 1 < sides.min() < 7
    assert 11 < sides.max() <= 8 / 0.5


def test_turned_images(rng):
    images = torch.rand(3, 49, generator=rng)
    assert torch.equal(turned(images, 180.0).view(3, 7, 7), images.view(3, 7, 7).flip(1, 2))
    nearly, quarter = turned(images, 89.999), turned(images, 90.0)
    assert (nearly - quarter).abs().max() < 1e-3
    assert (turned(images, 45.0) != images).any()
