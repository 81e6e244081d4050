import math

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.estimators.svgd import gaussian_kernel, svgd_direction


@pytest.mark.usefixtures("double")
def test_two_particles_by_hand():
    """Particles 0 and 1 on a line, gradients 3 and -1, kernel exp(-1) between them (eq. 12)."""
    points, gradients = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [-1.0]])
    kappa = math.exp(-1)
    # particle 0: 1 * 3 + kappa * (-1) + 2 (0 - 1) kappa; particle 1: kappa * 3 - 1 + 2 (1 - 0) kappa
    expected = torch.tensor([[3 - kappa - 2 * kappa], [3 * kappa - 1 + 2 * kappa]]) / (1 + kappa)
    torch.testing.assert_close(svgd_direction(points, gradients, "unit"), expected)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kernel", ["unit", "median"])
def test_the_repulsion_is_the_kernels_gradient_by_the_other_particle(rng, kernel):
    points = torch.randn(4, 3, generator=rng)
    values, bandwidth = gaussian_kernel(points, kernel)
    direction = svgd_direction(points, torch.zeros_like(points), kernel)
    for j in range(4):
        others = points.clone().requires_grad_()
        row = torch.exp(-(points[j] - others).square().sum(1) / bandwidth)
        torch.testing.assert_close(row.detach(), values[j])
        (slopes,) = torch.autograd.grad(row.sum(), others)
        torch.testing.assert_close(direction[j], slopes.sum(0) / values[j].sum())


MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
STD = torch.tensor([0.5, 1.5], dtype=torch.float64)


def settle(sign, rng, particles=40):
    """Particles that follow a Gaussian target; ``sign`` -1 turns the repulsion round."""
    points = torch.randn(particles, 2, generator=rng)
    for _ in range(3000):
        gradients = (MEAN - points) / STD**2
        uphill = svgd_direction(points, gradients, "median")
        repulsion = svgd_direction(points, torch.zeros_like(points), "median")
        points = points + 0.05 * (uphill - repulsion + sign * repulsion)
    return points


def room(points):
    """Mean distance of a particle from its nearest neighbour."""
    return float(torch.cdist(points, points).fill_diagonal_(torch.inf).min(1).values.mean())


@pytest.mark.usefixtures("double")
def test_particles_settle_at_a_gaussians_moments_and_apart(rng):
    """Of 10 starts, means are within 0.002, ratios 0.950 +- 0.003 and room 0.40 +- 0.013."""
    points = settle(1, rng)
    torch.testing.assert_close(points.mean(0), MEAN, atol=0.03, rtol=0)
    torch.testing.assert_close(points.std(0) / STD, torch.ones(2), atol=0.1, rtol=0)
    assert room(points) > 0.3


@pytest.mark.usefixtures("double")
def test_with_the_repulsion_turned_round_they_collapse(rng):
    """Negative control: the kernel's gradient by the particle itself, the other reading of eq. 12.

    They form heaps that differ from start to start, with room 0.06 +- 0.04 (10 starts).
    """
    assert room(settle(-1, rng)) < 0.3


def test_without_a_kernel_each_particle_is_alone(rng):
    points, gradients = torch.randn(2, 3, 4, generator=rng)
    assert torch.equal(svgd_direction(points, gradients, "none"), gradients)


def test_the_median_kernel_sees_the_particles_at_any_scale(rng):
    """The median of six particles' 15 pairs weighs 1 / (6 + 1)."""
    points = torch.randn(6, 50, generator=rng)
    near, far = gaussian_kernel(points, "median").values, gaussian_kernel(100 * points, "median").values
    torch.testing.assert_close(near, far)
    assert float(near[torch.ones(6, 6).triu(1) > 0].median()) == pytest.approx(1 / 7)
    assert gaussian_kernel(100 * points, "unit").values[0, 1] == 0


def test_one_particle_and_particles_in_one_place_are_no_special_case():
    gradients = torch.ones(3, 2)
    for kernel in ("unit", "median", "none"):
        assert torch.equal(svgd_direction(torch.zeros(1, 2), gradients[:1], kernel), gradients[:1])
        direction = svgd_direction(torch.zeros(3, 2), gradients, kernel)
        torch.testing.assert_close(direction, gradients)


def test_wrong_input_is_named():
    with pytest.raises(InputError, match=r"\[J, P\]"):
        gaussian_kernel(torch.zeros(3), "unit")
    with pytest.raises(InputError, match="one of unit, median, none"):
        gaussian_kernel(torch.zeros(3, 1), "wide")
    with pytest.raises(InputError, match="gradients"):
        svgd_direction(torch.zeros(3, 1), torch.zeros(3, 2), "none")
