"""A recording of one's own: fitted, sampled and compared by the command alone."""

import json

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError, SpikeTrains, load_run, read_spike_trains, write_spike_trains
from snn_gan_ext.cli import main
from snn_gan_ext.datasets.ring import ring_spikes
from snn_gan_ext.experiments import loop
from snn_gan_ext.experiments.recipes import RECIPES
from snn_gan_ext.experiments.recipes.recording import experiment_for

SHORT = ("--updates", "4", "--learner.moment-updates", "1", "--learner.moments.updates", "5")
QUICK = ("--evaluation.no-judges", "--evaluation.synthetic-count", "40", "--no-progress")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Trials with labels, and ongoing activity, of the ring."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = torch.Generator().manual_seed(0)
    trials = ring_spikes(60, 25, 4, rng=rng)
    labels = ["left", "right"] * 30
    write_spike_trains(SpikeTrains.from_dense(trials, 0.01, labels=labels), folder / "trials.npz")
    long = ring_spikes(1, 3000, 4, rng=rng)
    ongoing = SpikeTrains.from_dense(long, 0.01, trials=False)
    write_spike_trains(ongoing, folder / "ongoing.npz")
    return folder


@pytest.mark.parametrize("name", ["trials", "ongoing"])
def test_a_recording_is_fitted_sampled_and_compared(files, tmp_path, name, capsys):
    source, run = files / f"{name}.npz", tmp_path / "run"
    window = () if name == "trials" else ("--window", "250ms")
    options = ("--bin", "10ms", *window, "--out", str(run), *SHORT, *QUICK)
    assert main(["fit", str(source), *options]) == 0
    said = capsys.readouterr()
    assert "4 units" in said.err
    assert "25 bins of 10 ms" in said.err
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["samplers"])[-1] == "population"
    assert metrics["free_parameters"] > 90
    assert (run / "report.html").is_file()
    synthetic = tmp_path / "synthetic.npz"
    assert main(["sample", str(run), "--n", "30", "--out", str(synthetic)]) == 0
    drawn = read_spike_trains(synthetic)
    assert len(drawn.spans) == 30
    assert drawn.trials == (name == "trials")
    assert drawn.label_names == (("left", "right") if name == "trials" else ())
    assert set(drawn.units) <= set(read_spike_trains(source).units)
    capsys.readouterr()
    window = ("--window", "250ms")
    compared = ["compare", str(source), str(synthetic), "--bin", "10ms", *window, "--resamples", "3"]
    assert main([*compared, "--no-judges", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["samplers"]
    assert table["other"]["rate_error"] < 0.6
    spikes = drawn.bin(0.01, 0.25).spikes
    assert torch.equal(spikes.sum((0, 1)), torch.tensor([float(len(x)) for x in drawn.times]))


def test_a_fit_that_goes_on_ends_like_one_that_did_not_stop(files, tmp_path):
    options = ["fit", str(files / "trials.npz"), "--bin", "10ms", *SHORT, *QUICK]
    assert main([*options, "--out", str(tmp_path / "whole")]) == 0

    class Stop(Exception):
        pass

    update, done = loop.update_once, []

    def once(*arguments):
        if len(done) == 3:
            raise Stop
        done.append(1)
        return update(*arguments)

    loop.update_once = once
    try:
        with pytest.raises(Stop):
            main([*options, "--out", str(tmp_path / "half")])
    finally:
        loop.update_once = update
    assert main([*options, "--out", str(tmp_path / "half"), "--resume"]) == 0
    whole, half = (load_run(tmp_path / name).generator.state_dict() for name in ("whole", "half"))
    assert all(torch.equal(x, half[name]) for name, x in whole.items())


def test_the_data_decide_what_is_not_asked_for(files):
    trials = experiment_for(files / "trials.npz", {"data.bin_ms": 10.0})
    assert trials.generator.by_step
    assert trials.generator.latent_bits == 1
    assert trials.data.label_names == ("left", "right")
    assert trials.data.num_steps == 25
    ongoing = experiment_for(files / "ongoing.npz", {"data.bin_ms": 10.0, "data.window_ms": 500.0})
    assert not ongoing.generator.by_step
    assert ongoing.learner.moments.ongoing
    assert ongoing.data.num_steps == 50
    asked = experiment_for(files / "trials.npz", {"data.bin_ms": 10.0, "generator.latent_bits": 3})
    assert asked.generator.latent_bits == 3


def test_windows_of_the_parts_do_not_overlap(files):
    data = experiment_for(files / "ongoing.npz", {"data.bin_ms": 10.0, "data.window_ms": 250.0}).data
    ends = [(part.starts.min(), part.starts.max() + 0.25) for part in data.parts.values()]
    assert ends[0][1] <= ends[1][0] + 1e-9
    assert ends[1][1] <= ends[2][0] + 1e-9
    rates = data.class_rates()
    assert rates.shape == (25, 1, 4)
    assert 0 < rates.min() <= rates.max() < 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bin", "20"], "--bin: expected a duration such as 20ms"),
        (["--bin", "0ms"], "--bin"),
        (["--window", "1h"], "--window"),
        (["--window", "900s"], "window: expected"),
        (["--label", "side"], "label: expected one of"),
        (["--intervals", "epochs"], "intervals: expected none"),
    ],
)
def test_impossible_options_are_refused_in_one_line(files, arguments, words, capsys, tmp_path):
    out = tmp_path / "run"
    assert main(["fit", str(files / "ongoing.npz"), "--out", str(out), *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_files_that_cannot_be_fitted_are_refused_in_one_line(files, tmp_path, capsys):
    assert main(["fit", str(tmp_path / "missing.nwb")]) == 2
    assert "no such file" in capsys.readouterr().err
    other = SpikeTrains((np.array([0.1, 0.2]),), ("z",), np.array([[0.0, 1.0]]))
    write_spike_trains(other, tmp_path / "other.npz")
    assert main(["compare", str(files / "ongoing.npz"), str(tmp_path / "other.npz")]) == 2
    assert "the same units in both sets" in capsys.readouterr().err
    with pytest.raises(InputError, match="snn-gan-ext fit FILE"):
        RECIPES["recording"].vary({"data.units": ()}).check()
