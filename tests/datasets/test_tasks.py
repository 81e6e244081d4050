"""Families of tasks."""

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.tasks import DigitTask, draw_tasks


def test_images_of_a_task_are_its_rotated_digits():
    images = torch.arange(12.0).view(3, 4) / 12
    data = Labelled(images, torch.tensor([7, 3, 7]))
    found = DigitTask((3, 7), (90.0, 0.0)).pick(data)
    assert found.labels.tolist() == [0, 1, 1]
    assert torch.equal(found.images[1:], images[[0, 2]])
    assert torch.equal(found.images[0].view(2, 2), images[1].view(2, 2).rot90())
    with pytest.raises(InputError, match=r"digits \(3, 5\), got \[3, 7\]"):
        DigitTask((3, 5), (0.0, 0.0)).pick(data)
    with pytest.raises(InputError, match="angle"):
        DigitTask((3, 5), (0.0,))


def test_equal_seeds_draw_equal_tasks_without_excluded_sets():
    def draw(seed):
        rng = torch.Generator().manual_seed(seed)
        return draw_tasks(range(4), 300, rng, without=[frozenset((1, 2))])

    tasks = draw(0)
    assert tasks == draw(0) != draw(1)
    assert {task.digits for task in tasks} == {
        (a, b) for a in range(4) for b in range(4) if a != b and {a, b} != {1, 2}
    }
    assert {angle for task in tasks for angle in task.degrees} == {0, 90, 180, 270}
    with pytest.raises(InputError, match="does not exclude"):
        draw_tasks([1, 2], 3, torch.Generator(), without=[frozenset((1, 2))])


def test_tasks_of_more_digits_and_any_angle():
    rng = torch.Generator().manual_seed(0)
    tasks = draw_tasks(range(5), 40, rng, classes=3, any_angle=True)
    assert all(len(set(task.digits)) == 3 for task in tasks)
    assert len({angle for task in tasks for angle in task.degrees}) == 120
    with pytest.raises(InputError, match="from 1 to 5"):
        draw_tasks(range(5), 3, rng, classes=6)


@pytest.mark.parametrize(
    ("digits", "classes", "without"),
    [
        ([0, 1, 2], 2, [frozenset(pair) for pair in ({0, 1}, {0, 2}, {1, 2})]),
        ([0, 1], 1, [frozenset({0}), frozenset({1})]),
        ([0, 0, 1], 2, []),
    ],
)
def test_digits_that_make_no_task_are_refused(digits, classes, without):
    with pytest.raises(InputError, match="digits"):
        draw_tasks(digits, 3, torch.Generator(), classes=classes, without=without)


@pytest.mark.parametrize("count", [-1, 1.5, None])
def test_a_number_of_tasks_is_a_whole_number(count):
    with pytest.raises(InputError, match="count"):
        draw_tasks([0, 1], count, torch.Generator())
