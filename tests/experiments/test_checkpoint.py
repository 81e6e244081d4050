"""Checkpoints are whole or not there, belong to their settings, and run no code."""

import os
from pathlib import Path

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.experiments import checkpoint
from tests.algorithms.toy import CONFIG, ToyState


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_checkpoint(path, checkpoint.Checkpoint(CONFIG, {"updates": 1}, 0.0))

    def full(file):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(path, b"half")
    assert checkpoint.load_checkpoint(path, CONFIG).state == {"updates": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_killed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    checkpoint.write_atomically(path, b"old")

    def killed(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_atomically(path, b"half")
    assert path.read_bytes() == b"old"


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint.save_checkpoint(path, checkpoint.Checkpoint(CONFIG, ToyState().state_dict(), 1.5))
    return path


def test_a_checkpoint_comes_back_as_it_was(saved):
    found = checkpoint.load_checkpoint(saved, CONFIG)
    assert found.config == CONFIG
    assert found.state.keys() == ToyState().state_dict().keys()
    assert found.seconds == 1.5


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", CONFIG)


def test_damaged_checkpoints_are_refused(saved):
    whole = saved.read_bytes()
    hole = whole[:400] + bytes(64) + whole[464:]
    truncated = [whole[: len(whole) * part // 10] for part in range(10)]
    for damaged in (hole, b"not a checkpoint", *truncated):
        saved.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged or foreign"):
            checkpoint.load_checkpoint(saved, CONFIG)
    torch.save({"weights": torch.zeros(3)}, saved)
    with pytest.raises(InputError, match="damaged or foreign"):
        checkpoint.load_checkpoint(saved, CONFIG)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"recipe": "digits"}, r"recipe = 'digits'.*got 'toy'"),
        ({"rate": 0.2}, r"rate = 0.2.*got 0.1"),
        ({"rate": {"start": 0.2}}, r"rate.start = 0.2.*got"),
        ({"batch": 3}, r"batch = 3"),
    ],
)
def test_checkpoints_of_other_settings_are_refused(changes, says, saved):
    with pytest.raises(InputError, match=says):
        checkpoint.load_checkpoint(saved, {**CONFIG, **changes})


def test_a_checkpoint_of_another_recipe_is_told_by_its_name_alone(saved):
    checkpoint.save_checkpoint(saved, checkpoint.Checkpoint({**CONFIG, "name": "ours"}, {}, 0.0))
    with pytest.raises(InputError, match=r"a checkpoint with name = 'theirs', got 'ours';"):
        checkpoint.load_checkpoint(saved, {**CONFIG, "name": "theirs", "rate": 3})


def test_of_many_other_settings_three_are_told_in_short(saved):
    many = {f"setting{number}": 1000 * "x" for number in range(100)}
    with pytest.raises(InputError) as caught:
        checkpoint.load_checkpoint(saved, {**CONFIG, **many})
    assert "setting1 = " in f"{caught.value}"
    assert len(f"{caught.value}") < 500 + len(f"{saved}")


def test_checkpoints_of_other_versions_are_refused(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "__version__", "9.9")
    with pytest.raises(InputError, match=r"install snn_gan_ext=="):
        checkpoint.load_checkpoint(saved, CONFIG)


class Harmful:
    """Content of a hostile checkpoint."""

    def __reduce__(self):
        return (os.mkdir, ("harm",))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"version": checkpoint.__version__, "config": CONFIG, "seconds": 0.0}
    torch.save({**content, "state": {"rng": Harmful()}}, "c.pt")
    with pytest.raises(InputError, match="damaged or foreign"):
        checkpoint.load_checkpoint(tmp_path / "c.pt", CONFIG)
    assert not (tmp_path / "harm").exists()
