import math

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.functional.bases import exponential_basis, identity_basis, raised_cosine_basis


def test_exponential_basis_is_the_papers():
    basis = exponential_basis(6, 2.0)
    expected = torch.tensor([[math.exp(-lag / 2) for lag in range(6)]])
    torch.testing.assert_close(basis, expected)
    assert exponential_basis(4, [1.0, 3.0]).shape == (2, 4)


def test_raised_cosines_start_at_lag_0_and_overlap_as_a_partition():
    basis = raised_cosine_basis(5, 30)
    assert basis.shape == (5, 30)
    assert basis.min() >= 0
    assert basis.max() <= 1
    assert basis[0, 0] == 1
    peaks = basis.argmax(1)
    assert (peaks.diff() > 0).all()
    # Each point between the second and the second last peak lies under four bumps that sum to 2.
    inner = basis[:, peaks[1] + 1 : peaks[-2]].sum(0)
    assert len(inner) > 2
    torch.testing.assert_close(inner, torch.full_like(inner, 2.0))


def test_last_raised_cosine_ends_at_the_window():
    long, short = raised_cosine_basis(3, 12), raised_cosine_basis(3, 40)
    assert long[-1, -1] < 0.05
    assert short[-1, -1] < 0.05
    assert long[-1, -2] > long[-1, -1] > 0


def test_single_raised_cosine_falls_over_the_window():
    basis = raised_cosine_basis(1, 6)
    assert basis[0, 0] == 1
    assert (basis[0].diff() < 0).all()


def test_identity_basis_has_a_tap_a_lag():
    assert torch.equal(identity_basis(4), torch.eye(4))


@pytest.mark.parametrize(
    "make",
    [
        lambda: exponential_basis(0, 2.0),
        lambda: exponential_basis(3, 0.0),
        lambda: exponential_basis(3, float("nan")),
        lambda: raised_cosine_basis(0, 5),
        lambda: raised_cosine_basis(2, 0),
        lambda: raised_cosine_basis(2, 5, offset=0.0),
        lambda: identity_basis(-1),
    ],
)
def test_sizes_out_of_range_are_named(make):
    with pytest.raises(InputError, match=r"expected .*, got"):
        make()


@pytest.mark.parametrize(("count", "length"), [(8, 8), (10, 10), (10, 20), (10, 3), (20, 10), (3, 2)])
def test_raised_cosines_that_fall_between_steps_are_refused(count, length):
    with pytest.raises(InputError, match="take fewer functions, a longer window or a larger offset"):
        raised_cosine_basis(count, length)


@pytest.mark.parametrize(("count", "length"), [(1, 1), (3, 3), (5, 6), (5, 20), (5, 30), (10, 30)])
def test_raised_cosines_are_independent(count, length):
    basis = raised_cosine_basis(count, length)
    assert torch.linalg.matrix_rank(basis) == count


@pytest.mark.parametrize(
    "decay", [[2.0, 2.0], [1.0, 2.0, 3.0], None, ["a"], torch.ones(1, device="meta")]
)
def test_decays_are_numbers_that_differ(decay):
    with pytest.raises(InputError, match="expected"):
        exponential_basis(2, decay)
