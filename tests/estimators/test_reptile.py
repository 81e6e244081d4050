"""Updates of an initialisation, by hand."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.estimators.reptile import update_initialisation

INITIAL = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}
TASKS = {"a": torch.tensor([[2.0, 2.0], [4.0, 0.0]]), "b": torch.tensor([3.0, 5.0])}


def test_reptile_goes_part_of_the_way_to_the_mean():
    moved = update_initialisation(INITIAL, TASKS, 0.5, "reptile")
    assert moved["a"].tolist() == [2.0, 1.5]
    assert moved["b"].item() == 3.5
    there = update_initialisation(INITIAL, TASKS, 1.0, "reptile")
    assert there["a"].tolist() == [3.0, 1.0]
    # Eq. 14-15 as printed would leave the mean for nothing: an initialisation at the mean has to stay.
    at_mean = {name: x.mean(0) for name, x in TASKS.items()}
    stayed = update_initialisation(at_mean, TASKS, 0.7, "reptile")
    assert all(torch.equal(at_mean[name], x) for name, x in stayed.items())


def test_maml_goes_along_the_mean_gradient():
    moved = update_initialisation(INITIAL, TASKS, 0.1, "maml")
    assert torch.allclose(moved["a"], torch.tensor([1.3, 2.1]))
    assert moved["b"].item() == pytest.approx(3.4)


@pytest.mark.parametrize(
    "tasks", [{"a": TASKS["a"]}, {**TASKS, "b": torch.zeros(2, 2)}, {**TASKS, "b": torch.zeros(0)}]
)
def test_weights_that_do_not_fit_are_refused(tasks):
    with pytest.raises(InputError, match="'b'"):
        update_initialisation(INITIAL, tasks, 0.5, "reptile")
