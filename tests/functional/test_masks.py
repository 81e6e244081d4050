"""Masks of connections."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.functional import masks


def test_on_a_ring_neurons_hear_both_neighbours():
    assert masks.ring(5).sum(0).tolist() == [2] * 5
    assert masks.ring(5)[0].tolist() == [False, True, False, False, True]
    assert masks.ring(5, reach=2).sum() == 20
    assert masks.ring(3, reach=9).sum() == 6


def test_populations_hear_their_own_or_the_others():
    own, others = masks.blocks([2, 3]), masks.blocks([2, 3], between=True)
    assert not own.diagonal().any()
    assert torch.equal(
        own | others | torch.eye(5, dtype=torch.bool), torch.ones(5, 5, dtype=torch.bool)
    )
    assert not (own & others).any()
    assert others[0].tolist() == [False, False, True, True, True]


def test_levels_are_as_few_as_the_wiring_allows():
    assert masks.levels_of(masks.triangular(4)) == (0, 1, 2, 3)
    assert masks.levels_of(masks.triangular([2, 0, 1])) == (1, 2, 0)
    assert masks.levels_of(masks.blocks([2, 3], between=True).triu()) == (0, 0, 1, 1, 1)
    assert masks.levels_of(torch.zeros(3, 3, dtype=torch.bool)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: masks.levels_of(masks.ring(4)), "without loops"),
        (lambda: masks.triangular([0, 2]), "each of 0"),
        (lambda: masks.triangular([]), "order"),
        (lambda: masks.triangular(0), "neurons"),
        (lambda: masks.ring(3, 0), "reach"),
        (lambda: masks.blocks([2, 0]), "sizes"),
    ],
)
def test_impossible_masks_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
