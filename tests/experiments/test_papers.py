"""The reproductions' bookkeeping, with quick stand-ins for training or judging."""

import json

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled, rate_encode
from snn_gan_ext.experiments import runs
from snn_gan_ext.experiments.papers import Settings, digits_curves, digits_noise, digits_spikes
from snn_gan_ext.experiments.papers.table_1 import TABLE_1
from snn_gan_ext.experiments.recipes.digit_spikes import DigitSpikesML, DigitSpikesPooled
from snn_gan_ext.experiments.recipes.judge import SpikeJudge

QUICK = {"seeds": 1, "steps": 2, "judge_steps": 2}


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
    metrics = digits_spikes(settings(tmp_path, **QUICK))
    assert len(judged) == len(TABLE_1)
    assert set(judged) == {(16, 20, 64)}
    for measure in ("snn_tstr", "mlp_tstr", "c2st", "energy_distance"):
        assert list(metrics[measure]) == list(TABLE_1)
        assert all(0 < value < 1 for value in metrics[measure].values())
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n|") == len(TABLE_1) + 1
    assert "| maximum likelihood (VAE) | 0.12 |" in table

    (tmp_path / "ml-seed0" / "metrics.json").unlink()  # stopped while judging
    monkeypatch.setattr(runs, "train", None)  # nothing is trained again
    again = digits_spikes(settings(tmp_path, **QUICK))
    assert len(judged) == len(TABLE_1) + 1
    assert again["snn_tstr"] == metrics["snn_tstr"]

    with pytest.raises(InputError, match="give another --out"):
        digits_spikes(settings(tmp_path, **{**QUICK, "steps": 3}))
    with pytest.raises(InputError, match="--seeds"):
        settings(tmp_path, seeds=0)


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
        return rate_encode(images[1 - labels], 6, rng=generator)

    bad = judge.judge(mixed_up)
    assert bad["snn_tstr"] < 0.1
    assert bad["mlp_tstr"] < 0.1
    assert bad["c2st"] > 0.9
    assert bad["energy_distance"] > good["energy_distance"] + 0.5


@pytest.fixture
def trained(monkeypatch):
    """Counts what is trained, and leaves the log and the scores of a run behind."""
    names = []

    def train(recipe, folder, **options):
        names.append(folder.name)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(recipe.to_config()))
        log = [
            {"step": step, "validation_tstr": step / 3000}
            for step in range(recipe.monitor_every, 3001, recipe.monitor_every)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        metrics = {
            "trts": 0.9 - recipe.noise_fraction / 2,
            "noisy_real_accuracy": 0.95,
            "coded_real_accuracy": 0.92,
            "tstr": 0.8 + recipe.seed / 10,
        }
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return metrics

    monkeypatch.setattr(runs, "train", train)
    return names


def settings(folder, **options):
    return Settings(out=folder, **{"evaluate_on": "validation", "progress": False, **options})


def test_figure_5_is_made_of_runs_at_every_noise_level(tmp_path, trained, monkeypatch):
    class ImageSample:
        def sample(self, labels, rng):
            return {"images": torch.rand(len(labels), 64, generator=rng)}

    monkeypatch.setattr(runs, "load_run", lambda folder: (None, ImageSample()))
    metrics = digits_noise(settings(tmp_path, seeds=2))
    assert len(set(trained)) == len(trained) == 3 * 2 * 6
    assert metrics["trts"]["belief"] == {
        "0.0": 0.9,
        "0.05": 0.875,
        "0.1": 0.85,
        "0.2": 0.8,
        "0.4": 0.7,
        "0.8": 0.5,
    }
    assert set(metrics["trts"]["spikegan_code"].values()) == {0.92}
    assert (tmp_path / "table.md").read_text().count("\n|") == 8
    assert (tmp_path / "samples-0.2.png").stat().st_size > 10_000
    assert (tmp_path / "pca-0.0.png").stat().st_size > 10_000
    digits_noise(settings(tmp_path, seeds=2))
    assert len(trained) == 3 * 2 * 6
    with pytest.raises(InputError, match="judge-steps"):
        digits_noise(settings(tmp_path, judge_steps=3))
    with pytest.raises(InputError, match="give another --out"):
        digits_noise(settings(tmp_path, steps=5))


def test_figure_4_is_made_of_the_logs(tmp_path, trained):
    metrics = digits_curves(settings(tmp_path, seeds=2))
    assert len(trained) == 5 * 2
    assert metrics["steps"] == list(range(250, 3001, 250))
    assert metrics["validation_tstr"]["digits-belief"][-1] == 1
    assert metrics["tstr"]["digits"] == 0.85
    assert (
        "| 0.083 | 0.167 | 0.333 | 0.667 | 0.850 (0.800 to 0.900) |"
        in (tmp_path / "table.md").read_text()
    )
    assert (tmp_path / "curves.png").stat().st_size > 10_000
