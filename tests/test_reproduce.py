"""Table I's bookkeeping with a quick stand-in for the judge, whose own test is below."""

import json

import pytest
import torch

from snn_gan_ext import InputError, reproduce, runs
from snn_gan_ext.coding.images import Labelled, rate_encode
from snn_gan_ext.recipes.digit_spikes import DigitSpikesML, DigitSpikesPooled
from snn_gan_ext.recipes.judge import SpikeJudge

QUICK = {"steps": 2, "judge_steps": 2, "evaluate_on": "validation", "progress": False}


@pytest.fixture
def judged(monkeypatch):
    """Counts how often something is judged, and scores its mean firing rate."""
    calls = []

    def judge(self, draw):
        spikes = draw(torch.arange(20) % 10, torch.Generator().manual_seed(self.seed))
        calls.append(spikes.shape)
        names = ("snn_tstr", "snn_tstr_count", "mlp_tstr", "c2st", "energy_distance")
        return dict.fromkeys(names, float(spikes.mean()))

    monkeypatch.setattr(SpikeJudge, "judge", judge)
    return calls


def test_table_1_is_made_once_and_gone_on_with(judged, tmp_path, monkeypatch):
    metrics = reproduce.digits_spikes(tmp_path, 1, **QUICK)
    assert len(judged) == len(reproduce.TABLE_1)
    assert set(judged) == {(16, 20, 64)}
    for measure in ("snn_tstr", "mlp_tstr", "c2st", "energy_distance"):
        assert list(metrics[measure]) == list(reproduce.TABLE_1)
        assert all(0 < value < 1 for value in metrics[measure].values())
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n|") == len(reproduce.TABLE_1) + 1
    assert "| maximum likelihood (VAE) | 0.12 |" in table

    (tmp_path / "digits-spikes-ml-seed0" / "metrics.json").unlink()  # stopped while judging
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    again = reproduce.digits_spikes(tmp_path, 1, **QUICK)
    assert len(judged) == len(reproduce.TABLE_1) + 1
    assert again["snn_tstr"] == metrics["snn_tstr"]

    with pytest.raises(InputError, match="give another --out"):
        reproduce.digits_spikes(tmp_path, 1, **{**QUICK, "steps": 3})
    with pytest.raises(InputError, match="--seeds"):
        reproduce.digits_spikes(tmp_path, 0, **QUICK)


@pytest.mark.parametrize("recipe", [DigitSpikesPooled, DigitSpikesML])
def test_recipes_refuse_what_they_cannot_do(recipe):
    for settings in ({"copies": 0}, {"judge_steps": 0}, {"decoding": "time_surface"}):
        with pytest.raises(InputError):
            recipe(**settings).check()
    with pytest.raises(InputError, match="multiple of 4"):
        DigitSpikesPooled(time_steps=10).check()


def test_the_judge_tells_good_samplers_from_bad(rng):
    """Two classes that fire on the left or on the right, and a sampler that mixes them up."""
    labels = torch.arange(80) % 2
    images = torch.tensor([[0.9, 0.8, 0.1, 0.1], [0.1, 0.1, 0.8, 0.9]])[labels]
    images = (images + 0.1 * torch.rand(80, 4, generator=rng)).clamp(0, 1)
    data = Labelled(images, labels)
    judge = SpikeJudge(
        train=data, real=data, time_steps=6, seed=0, count=200, snn_steps=400, snn_hidden=8, copies=2
    )
    good = judge.judge(judge.real_sampler())
    assert good["snn_tstr"] > 0.9
    assert good["mlp_tstr"] > 0.9
    assert abs(good["c2st"] - 0.5) < 0.15

    def mixed_up(labels, generator):
        return rate_encode(images[1 - labels], 6, generator=generator)

    bad = judge.judge(mixed_up)
    assert bad["snn_tstr"] < 0.1
    assert bad["mlp_tstr"] < 0.1
    assert bad["c2st"] > 0.9
    assert bad["energy_distance"] > good["energy_distance"] + 0.5


def test_figure_5_is_made_of_runs_at_every_noise_level(tmp_path, monkeypatch):
    trained = []

    def train(recipe, folder, **options):
        trained.append((recipe.name, recipe.noise_fraction, folder.name))
        return {"trts": 0.9 - recipe.noise_fraction / 2, "noisy_real_accuracy": 0.95}

    monkeypatch.setattr(runs, "train", train)
    metrics = reproduce.digits_noise(tmp_path, 2, evaluate_on="validation", progress=False)
    assert len({folder for _, _, folder in trained}) == len(trained) == 2 * 2 * 6
    assert metrics["trts"]["belief"] == {
        "0.0": 0.9,
        "0.05": 0.875,
        "0.1": 0.85,
        "0.2": 0.8,
        "0.4": 0.7,
        "0.8": 0.5,
    }
    assert (tmp_path / "table.md").read_text().count("\n|") == 4
    for options in ({"seeds": 0}, {"judge_steps": 3}):
        with pytest.raises(InputError):
            reproduce.digits_noise(tmp_path, **options)
