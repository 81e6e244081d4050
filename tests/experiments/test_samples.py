"""Samples of a run in files: by label and seed, in every format, over nothing that is there."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.events import Binning, bin_events
from snn_gan_ext.datasets.recordings import open_recordings
from snn_gan_ext.experiments.samples import sample
from tests.experiments.helpers import command, refused


def test_spikes_are_those_of_the_label_and_the_seed(finished, tmp_path, capsys):
    run = finished("digits")
    paths = [tmp_path / f"{name}.npz" for name in "abc"]
    for path, seed in zip(paths, (0, 0, 1), strict=True):
        assert command("sample", run, "--n", 12, "--label", 4, "--seed", seed, "--out", path) == 0
    assert "c.npz: spikes [5, 12, 64]" in capsys.readouterr().out
    a, b, c = (np.load(path) for path in paths)
    assert a["spikes"].shape == (5, 12, 64)
    assert a["spikes"].dtype == np.uint8
    assert set(np.unique(a["spikes"])) == {0, 1}
    assert (a["labels"] == 4).all()
    np.testing.assert_allclose(a["images"], a["spikes"].mean(0), atol=1e-6)
    assert np.array_equal(a["spikes"], b["spikes"])
    assert not np.array_equal(a["spikes"], c["spikes"])


def test_labels_are_the_classes_in_turn_by_default(finished, tmp_path):
    drawn = sample(finished("digits"), tmp_path / "x.npz", 12)
    assert drawn["labels"].tolist() == [*range(10), 0, 1]
    assert torch.equal(drawn["labels"], torch.from_numpy(np.load(tmp_path / "x.npz")["labels"]))


def test_trials_without_labels_have_none_and_name_their_particle(finished, tmp_path):
    run, out = finished("temporal-modes"), tmp_path / "drawn.npz"
    assert command("sample", run, "--out", out, "--n", 200) == 0
    drawn = np.load(out)
    assert set(drawn) == {"spikes", "particles"}
    assert drawn["spikes"].shape == (50, 200, 1)
    assert set(drawn["particles"]) == {0, 1}
    assert command("sample", run, "--out", out, "--label", 1) == 2


def test_samples_of_meta_learning_are_its_initialisation(finished, tmp_path):
    run, out = finished("digits-meta"), tmp_path / "s.npz"
    assert command("sample", run, "--n", 8, "--label", 1, "--out", out) == 0
    assert np.load(out)["spikes"].shape == (5, 8, 64)
    assert command("sample", run, "--label", 2, "--out", out) == 2


def test_event_files_are_read_by_tonic_and_are_the_generators_spikes(finished, tmp_path):
    tonic = pytest.importorskip("tonic", reason="tonic is not installed")
    run, out = finished("nmnist-small"), tmp_path / "synthetic"
    assert command("sample", run, "--format", "nmnist", "--n", 20, "--out", out) == 0
    assert len(list(out.glob("Train/3/*.bin"))) == 2
    assert command("sample", run, "--n", 20, "--out", tmp_path / "s.npz") == 0
    drawn = np.load(tmp_path / "s.npz")
    assert drawn["spikes"].shape == (10, 20, 2, 9, 9)
    opened = open_recordings("nmnist", out)
    binning = Binning(sensor=opened.sensor, num_steps=10, step_us=10_000)
    for index in range(20):
        theirs = tonic.io.read_mnist_file(opened.dataset.data[index], tonic.datasets.NMNIST.dtype)
        number = int(opened.name(index)[-9:-4])
        start, end = drawn["offsets"][number : number + 2]
        assert (theirs == drawn["events"][start:end]).all()
        assert (bin_events(theirs, binning)[..., :9, :9] == drawn["spikes"][:, number]).all()


def test_event_files_of_hdf5_hold_the_same_events(finished, tmp_path):
    run = finished("nmnist-small")
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    assert command("sample", run, "--n", 20, "--out", tmp_path / "s.npz") == 0
    assert command("sample", run, "--n", 20, "--format", "hdf5", "--out", tmp_path / "s.h5") == 0
    drawn = np.load(tmp_path / "s.npz")
    with h5py.File(tmp_path / "s.h5") as file:
        assert (file["offsets"][:] == drawn["offsets"]).all()
        assert (file["labels"][:] == drawn["labels"]).all()
        for name in ("x", "y", "t", "p"):
            assert (file["events"][name][:] == drawn["events"][name]).all()


def test_bad_arguments_are_refused_before_anything_is_written(finished, capsys, tmp_path):
    out = ("--out", tmp_path / "x.npz")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for arguments, says in [
        (("--n", 0, *out), "--n"),
        (("--label", 10, *out), "label: expected 0 .. 9"),
        (("--label", -1, *out), "label"),
        (("--out", tmp_path / "x.txt"), ".npz"),
        (("--out", tmp_path / "no" / "x.npz"), "existing folder"),
        (("--seed", -1, *out), "seed"),
        (("--format", "hdf5", "--out", tmp_path / "x.h5"), "npz for recipe 'digits'"),
        (("--format", "hdf5", *out), ".h5 or .hdf5"),
        (("--format", "nmnist", "--out", tmp_path / "full"), "a new or an empty folder"),
    ]:
        assert says in refused(capsys, "sample", finished("digits"), *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_file_is_overwritten_only_on_request(finished, tmp_path):
    run, out = finished("digits"), tmp_path / "x.npz"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"which is there; give another, or overwrite it with --force"):
        sample(run, out, 3)
    assert out.read_text() == "mine"
    assert command("sample", run, "--n", 3, "--out", out, "--force") == 0
    assert np.load(out)["labels"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("out", [None, "", 3, "nul\0byte.npz"])
def test_a_file_that_is_no_path_is_refused(out, finished):
    with pytest.raises(InputError, match="--out: expected a path"):
        sample(finished("digits"), out, 3)


def test_only_a_finished_run_can_be_sampled(tmp_path):
    with pytest.raises(InputError, match="expected a run folder"):
        sample(tmp_path, tmp_path / "x.npz", 3)
