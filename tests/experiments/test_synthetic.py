"""Synthetic recordings stand wherever a Tonic data set does."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from snn_gan_ext import InputError, SyntheticEvents
from snn_gan_ext.coding.events import Binning
from snn_gan_ext.datasets.event_frames import EventFrames, time_first
from snn_gan_ext.datasets.recordings import Recordings, open_recordings
from snn_gan_ext.experiments.evaluation import Results
from snn_gan_ext.experiments.recipes.events import EventEvaluation
from tests.experiments.helpers import command

tonic = pytest.importorskip("tonic", reason="tonic is not installed")


@pytest.mark.parametrize("workers", [0, 2])
def test_synthetic_and_real_recordings_share_a_loader(workers, finished, recordings):
    window = {"time_window": 10_000, "start_time": 0, "end_time": 100_000}
    to_frame = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), **window)
    run = finished("nmnist-small")
    synthetic = SyntheticEvents(run, 12, transform=to_frame, target_transform=int)
    real = open_recordings("nmnist", recordings).dataset
    real = [(to_frame(real[k][0]), real[k][1]) for k in range(12)]
    loader = DataLoader(ConcatDataset([synthetic, real]), 8, num_workers=workers, shuffle=True)
    frames, targets = zip(*loader, strict=True)
    assert torch.cat(frames).shape == (24, 10, 2, 34, 34)
    assert torch.cat(targets).bincount().sum() == 24


@pytest.fixture
def _nowhere(recordings, monkeypatch):
    """The recordings that the run learned from are gone."""
    monkeypatch.setenv("SNN_GAN_EXT_DATA", "nowhere")
    recordings.rename(recordings.with_name("away"))
    yield
    recordings.with_name("away").rename(recordings)


@pytest.mark.usefixtures("_nowhere")
def test_they_are_a_data_set_of_tonics_kind_and_need_no_real_recordings(finished):
    run = finished("nmnist-small")
    synthetic, again = (SyntheticEvents(run, 30, seed=3) for _ in range(2))
    assert synthetic.sensor_size == (9, 9, 2)
    assert synthetic.dtype == tonic.datasets.NMNIST.dtype
    assert synthetic.ordering == tonic.datasets.NMNIST.dtype.names
    assert all((synthetic[k][0] == again[k][0]).all() for k in range(30))
    assert [synthetic[k][1] for k in range(11)] == [*range(10), 0]
    assert synthetic.targets == [synthetic[k][1] for k in range(30)]
    assert not all(len(synthetic[0][0]) == len(synthetic[k][0]) for k in (10, 20))


def test_they_are_binned_like_real_ones(finished):
    synthetic = SyntheticEvents(finished("nmnist-small"), 30)
    own = Binning(sensor=synthetic.binning.sensor_size, num_steps=10, step_us=10_000)
    frames = EventFrames(Recordings(synthetic), own, progress=False)
    loader = DataLoader(frames, 5, collate_fn=time_first)
    assert next(iter(loader))[0].shape == (10, 5, 2, 9, 9)


def test_they_are_of_one_class_on_demand_and_differ_by_seed(finished):
    run = finished("nmnist-small")
    one, other = (SyntheticEvents(run, 5, label=7, seed=seed) for seed in (0, 1))
    assert one.targets == [7] * 5
    assert any(len(a) != len(b) or (a != b).any() for (a, _), (b, _) in zip(one, other, strict=True))


def test_transforms_receive_the_events_and_the_target(finished):
    run = finished("nmnist-small")
    both = SyntheticEvents(run, 3, transforms=lambda events, target: (len(events), -target))
    plain = SyntheticEvents(run, 3)
    assert [both[k] for k in range(3)] == [(len(plain[k][0]), -k) for k in range(3)]


def test_the_convolutional_generators_recordings_have_the_same_size(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(EventEvaluation, "monitor", lambda self, trainer: {})
    monkeypatch.setattr(EventEvaluation, "evaluate", lambda self, trainer: Results({}))
    options = ("--updates=2", "--data.pool=4", "--generator.maps=2", "--no-progress")
    place = ("--data", recordings, "--out", tmp_path)
    assert command("train", "nmnist-convolutional", *options, *place) == 0
    drawn = SyntheticEvents(tmp_path, 3)
    assert drawn.sensor_size == (9, 9, 2)
    assert len(drawn[0][0]) > 0


def test_runs_without_events_are_refused(finished, tmp_path):
    run = finished("temporal-modes")
    assert command("sample", run, "--format", "nmnist", "--out", tmp_path / "x") == 2
    with pytest.raises(InputError, match="recipe with events"):
        SyntheticEvents(run, 3)


@pytest.mark.parametrize("bad", [{"n": 0}, {"seed": -1}, {"label": 10}])
def test_arguments_out_of_bounds_are_refused(bad, finished):
    with pytest.raises(InputError, match=next(iter(bad))):
        SyntheticEvents(finished("nmnist-small"), **{"n": 3, **bad})


def test_a_recording_is_asked_for_by_its_number(finished):
    synthetic = SyntheticEvents(finished("nmnist-small"), 5)
    events, label = synthetic[np.int64(-1)]
    assert (events == synthetic[4][0]).all()
    assert label == 4
    for index in (slice(2), [0, 1], np.arange(2), 1.0, None):
        with pytest.raises(InputError, match="index: expected a whole number"):
            synthetic[index]
    with pytest.raises(IndexError):
        synthetic[5]
