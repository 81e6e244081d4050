"""The N-MNIST recipes end to end on a few recordings, made up so that no data are needed."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from snn_gan_ext import InputError, cli
from snn_gan_ext.coding.events import EVENT, Binning, bin_events
from snn_gan_ext.datasets import event_files
from snn_gan_ext.datasets.event_frames import EventFrames, time_first
from snn_gan_ext.datasets.recordings import Recordings, open_recordings
from snn_gan_ext.experiments.papers import Settings, nmnist_augment
from snn_gan_ext.experiments.recipes.event_judge import EventJudge
from snn_gan_ext.experiments.recipes.nmnist import NMNISTSmall
from snn_gan_ext.experiments.recipes.nmnist_augment import NMNISTAugment
from snn_gan_ext.experiments.synthetic import SyntheticEvents
from snn_gan_ext.metrics import events
from snn_gan_ext.metrics.events import LabelledFrames

tonic = pytest.importorskip("tonic", reason="tonic is not installed")

QUICK = ["--steps", "3", "--monitor-every", "100", "--synthetic-count", "100", "--pool", "4"]
QUICK += ["--judge-updates", "60"]


def digit(label, rng, count=300):
    """A blob whose place is the digit's."""
    recording = np.empty(count, EVENT)
    centre = np.array([6 + 2 * label, 30 - 2 * label])
    x, y = np.clip(centre[:, None] + rng.normal(0, 2, (2, count)), 0, 33).astype(int)
    recording["x"], recording["y"] = x, y
    recording["t"], recording["p"] = np.sort(rng.integers(0, 100_000, count)), rng.integers(0, 2, count)
    return recording


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "nmnist-small"
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    event_files.write_nmnist_folder([digit(label, rng) for label in labels], labels, folder)
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["train", "nmnist-small", *QUICK, "--data", str(data), "--out", str(folder)]
    assert cli.main(arguments) == 0
    return folder


def test_all_samplers_are_measured(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for prefix in ("", "ml_", "class_mean_", "kmeans_"):
        assert metrics[f"{prefix}tstr"] > 0.5
        assert metrics[f"{prefix}autocorrelation_distance"] > 0
    for name in ("real_accuracy", "nearest_ratio", "peak_memory_mb", "train_seconds", "c2st"):
        assert metrics[name] > 0
    # It starts at the classes' rates.
    assert metrics["class_mean_rate_ratio"] == pytest.approx(1, abs=0.05)
    assert metrics["ml_rate_ratio"] == pytest.approx(1, abs=0.3)
    assert {path.stem for path in run.glob("*.png")} == {"frames", "time_surfaces", "learning_curves"}


def test_samples_are_read_by_tonic_and_are_the_generators_spikes(run, tmp_path):
    out = tmp_path / "synthetic"
    assert cli.main(["sample", str(run), "--format", "nmnist", "--n", "20", "--out", str(out)]) == 0
    assert len(list(out.glob("Train/3/*.bin"))) == 2
    assert cli.main(["sample", str(run), "--n", "20", "--out", str(tmp_path / "s.npz")]) == 0
    drawn = np.load(tmp_path / "s.npz")
    assert drawn["spikes"].shape == (10, 20, 2, 9, 9)
    opened = open_recordings("nmnist", out)
    binning = Binning(sensor=opened.sensor, steps=10, step_us=10_000)
    for index in range(20):
        theirs = tonic.io.read_mnist_file(opened.dataset.data[index], tonic.datasets.NMNIST.dtype)
        number = int(opened.name(index)[-9:-4])
        start, end = drawn["offsets"][number : number + 2]
        assert (theirs == drawn["events"][start:end]).all()
        spikes = bin_events(theirs, binning)[..., :9, :9]
        assert (spikes == drawn["spikes"][:, number]).all()
    assert cli.main(["sample", str(run), "--format", "hdf5", "--out", str(tmp_path / "s.h5")]) == 0
    assert (tmp_path / "s.h5").stat().st_size > 1000


@pytest.mark.parametrize("workers", [0, 2])
def test_synthetic_and_real_recordings_in_one_loader(run, data, workers):
    window = {"time_window": 10_000, "start_time": 0, "end_time": 100_000}
    to_frame = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), **window)
    synthetic = SyntheticEvents(run, 12, transform=to_frame, target_transform=int)
    real = open_recordings("nmnist", data).dataset
    real = [(to_frame(real[k][0]), real[k][1]) for k in range(12)]
    loader = DataLoader(ConcatDataset([synthetic, real]), 8, num_workers=workers, shuffle=True)
    frames, targets = zip(*loader, strict=True)
    assert torch.cat(frames).shape == (24, 10, 2, 34, 34)
    assert torch.cat(targets).bincount().sum() == 24


def test_synthetic_recordings_are_a_data_set_of_tonics_kind(run, data, monkeypatch):
    monkeypatch.setenv("SNN_GAN_EXT_DATA", "nowhere")  # the real recordings are not needed
    data.rename(data.with_name("away"))
    try:
        synthetic = SyntheticEvents(run, 30, seed=3)
        again = SyntheticEvents(run, 30, seed=3)
    finally:
        data.with_name("away").rename(data)
    assert synthetic.sensor_size == (9, 9, 2)
    assert synthetic.dtype == tonic.datasets.NMNIST.dtype
    assert synthetic.ordering == tonic.datasets.NMNIST.dtype.names
    assert all((synthetic[k][0] == again[k][0]).all() for k in range(30))
    assert [synthetic[k][1] for k in range(11)] == [*range(10), 0]
    assert not all(len(synthetic[0][0]) == len(synthetic[k][0]) for k in (10, 20))
    binning = synthetic.binning
    own = Binning(sensor=binning.sensor_size, steps=10, step_us=10_000)
    loader = DataLoader(
        EventFrames(Recordings(synthetic), own, progress=False), 5, collate_fn=time_first
    )
    assert next(iter(loader))[0].shape == (10, 5, 2, 9, 9)


def test_few_recordings_and_what_a_classifier_makes_of_them(data, tmp_path):
    folder = tmp_path / "run"
    few = ["--shots", "3", "--copies", "2"]
    arguments = ["train", "nmnist-augment", *QUICK, *few, "--data", str(data), "--out", str(folder)]
    assert cli.main(arguments) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    taught = {"real", "jitter", "spikegan", "ml", "class_means", "jitter_and_spikegan"}
    assert all(0.5 < metrics[name] <= 1 for name in taught)
    experiment = NMNISTAugment(data=str(data), shots=3, pool=4).build(torch.device("cpu"))
    assert len(experiment.splits["train"]) == 30
    everything = np.concatenate(list(experiment.splits.values()))
    assert len(set(everything.tolist())) == len(everything)


def test_recordings_are_known_by_their_content(data, tmp_path):
    def fingerprint(folder):
        return NMNISTSmall(data=str(folder)).build(torch.device("cpu")).fingerprint()

    same, other = (shutil.copytree(data, tmp_path / name) for name in ("same", "other"))
    one, another = sorted(other.rglob("*.bin"))[:2]
    shutil.copy(another, one)
    assert fingerprint(same) == fingerprint(data)
    assert fingerprint(other) != fingerprint(data)


def test_the_convolutional_generator_takes_the_dense_ones_place(data, tmp_path):
    folder = tmp_path / "run"
    conv = ["--generator", "convolutional", "--maps", "2", "--data", str(data), "--out", str(folder)]
    assert cli.main(["train", "nmnist-small", *QUICK, "--judge-updates", "1", *conv]) == 0
    drawn = SyntheticEvents(folder, 3)
    assert drawn.sensor_size == (9, 9, 2)
    assert len(drawn[0][0]) > 0


def test_the_table_of_few_recordings_is_made_of_all_draws(data, tmp_path, monkeypatch):
    monkeypatch.setenv("SNN_GAN_EXT_DATA", str(data.parent))
    # A stand-in for training classifiers: how much there was to learn from.
    monkeypatch.setattr(
        EventJudge, "tstr", lambda self, taught, real, classes: len(taught.labels) / 1e4
    )
    found = nmnist_augment(Settings(out=tmp_path, seeds=2, steps=1, progress=False))
    assert found["5"]["real"] == 0.005
    assert found["10"]["spikegan"] == 10 * 10 * 30 * 2 / 1e4
    assert found["10"]["jitter_and_spikegan"] == 10 * 10 * 30 * 3 / 1e4
    assert len(found["per_seed"]["5"]["ml"]) == 2
    assert (
        "| and shifted copies | 0.300 ± 0.000 | 0.600 ± 0.000 |" in (tmp_path / "table.md").read_text()
    )


def test_bad_input_is_named(data, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SNN_GAN_EXT_DATA", raising=False)
    assert cli.main(["train", "nmnist-small", "--out", str(tmp_path / "a")]) == 2
    wrong = ["--data", str(tmp_path), "--out", str(tmp_path / "a")]
    assert cli.main(["train", "nmnist-small", *wrong]) == 2
    errors = capsys.readouterr().err
    assert "--download" in errors
    assert "NMNIST/Train" in errors
    assert not (tmp_path / "a").exists()
    for settings in ({"batch": 55}, {"time_steps": 5}, {"pool": 0}):
        with pytest.raises(InputError):
            NMNISTSmall(**settings).check()
    with pytest.raises(InputError, match="shots"):
        NMNISTAugment(data=str(data), shots=99).build(torch.device("cpu")).prepare()


def test_sampling_events_from_a_run_without_them_is_refused(tmp_path):
    folder = tmp_path / "modes"
    quick = ["--steps", "1", "--trials", "50", "--synthetic-count", "100", "--out", str(folder)]
    assert cli.main(["train", "temporal-modes", *quick]) == 0
    out = ["--format", "nmnist", "--out", str(tmp_path / "x")]
    assert cli.main(["sample", str(folder), *out]) == 2
    with pytest.raises(InputError, match="recipe with events"):
        SyntheticEvents(folder, 3)


def labelled(rate, trials=400, seed=0):
    rng = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(4, trials, 1, 5, 5, generator=rng) < rate).float()
    return LabelledFrames(spikes, torch.arange(trials) % 2)


def test_independent_spikes_have_no_residual_correlation_and_copies_have():
    independent = labelled(0.3)
    found = events.residual_autocorrelation(independent)
    assert found[0, 1, 1] == pytest.approx(1)
    found[0, 1, 1] = 0
    assert found.abs().max() < 0.02
    # Every pixel copies its left neighbour: full correlation at one pixel of distance.
    copied = independent.spikes[..., :1].expand(-1, -1, -1, -1, 5)
    stripes = LabelledFrames(copied, independent.labels)
    assert events.residual_autocorrelation(stripes)[0, 1, 2] == pytest.approx(4 / 5, abs=0.01)
    assert events.autocorrelation_distance(independent, stripes) > 0.04
    assert events.autocorrelation_distance(independent, labelled(0.3, seed=1)) < 0.01


def test_spread_and_nearest_neighbours():
    real, same = labelled(0.3), labelled(0.3, seed=1)
    assert events.count_spread_ratio(real, same) == pytest.approx(1, abs=0.2)
    constant = LabelledFrames(real.spikes[:, :2].repeat(1, 200, 1, 1, 1), real.labels)
    assert events.count_spread_ratio(real, constant) == pytest.approx(0, abs=1e-5)
    assert events.nearest_distance(real, real) == pytest.approx(0, abs=0.01)
    assert events.nearest_distance(same, real) > 0.5
    with pytest.raises(InputError, match="same classes"):
        events.nearest_distance(LabelledFrames(real.spikes, real.labels + 1), real)
