"""Statistics that distinguish a right network from one that is 20 % off."""

import sys

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.brian import equivalence
from snn_gan_ext.functional.bases import raised_cosine_basis
from snn_gan_ext.networks.generators import ConvolutionalGenerator, StepResponseGenerator

brian2 = pytest.importorskip("brian2", reason="brian2 is not installed")


@pytest.fixture(autouse=True)
def numpy_target():
    brian2.prefs.codegen.target = "numpy"


def neuron():
    """A neuron that fires at about 20 % and inhibits itself."""
    generator = StepResponseGenerator(1, 60, basis=raised_cosine_basis(3, 12), weight_std=0.0)
    layer = generator.network.layers["readout"]
    with torch.no_grad():
        layer.feedback.copy_(torch.tensor([[-3.0], [-1.5], [-1.5]]))
        layer.bias.fill_(1.0)
    return generator


LABELS = torch.zeros(250, dtype=torch.long)


def passed(table):
    return all(line.passed for line in table)


def test_the_right_network_passes_and_one_that_is_20_percent_off_fails():
    """Two comparisons at a false-alarm rate of 0.01; the wrong one must fail each time."""
    right, wrong = neuron(), neuron()
    with torch.no_grad():
        wrong.network.layers["readout"].feedback.mul_(1.2)
    for seed in range(2):
        rng = torch.Generator().manual_seed(seed)
        ours, brian = equivalence.free_run(right, LABELS, rng, seed)
        assert passed(equivalence.compare(ours, brian))
        _, other = equivalence.free_run(wrong, LABELS, rng, seed)
        assert not passed(equivalence.compare(ours, other))


def test_frames_are_compared_as_flat_neurons():
    rng = torch.Generator().manual_seed(0)
    basis = raised_cosine_basis(2, 4)
    generator = ConvolutionalGenerator(
        2, (1, 5, 5), 6, maps=2, kernel_size=5, latent_bits=2, basis=basis, rng=rng
    )
    ours, brian = equivalence.free_run(generator, torch.arange(20) % 2, rng, 0)
    assert ours.shape == brian.shape == (6, 20, 25)
    assert passed(equivalence.compare(ours, brian))


def test_statistics_of_a_trial_by_hand():
    """Spikes at 0, 2, 4 and 8 of 10 steps of 1 ms, and silence beside them."""
    spikes = torch.zeros(10, 1, 2)
    spikes[[0, 2, 4, 8], 0, 0] = 1
    found = equivalence.trial_statistics(spikes)
    intervals = np.array([2.0, 2.0, 4.0])
    assert found["rate"][0] == pytest.approx(4 / 2 / 0.01)
    assert found["ISI"][0] == pytest.approx(intervals.mean() * 1e-3)
    assert found["CV"][0] == pytest.approx(intervals.std() / intervals.mean())
    assert found["CV2"][0] == pytest.approx((0 + 2 * 2 / 6) / 2)
    assert found["LV"][0] == pytest.approx(3 * (0 + (2 / 6) ** 2) / 2)
    assert found["Fano factor"][0] == pytest.approx(np.var([4, 0]) / 2)
    assert np.isnan(found["STTC"][0])


def test_precision_does_not_matter():
    spikes = (torch.rand(7, 40, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    assert all(line.p == 1 for line in equivalence.compare(spikes, spikes.double()))


def test_spikes_with_a_graph_are_compared_too():
    spikes = (torch.rand(7, 40, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    learned = spikes * torch.ones((), requires_grad=True)
    assert all(line.p == 1 for line in equivalence.compare(learned, spikes))
    assert equivalence.mismatches({"a": learned}, {"a": 1 - spikes.bool().int()}) == {"a": 840}


def test_a_broken_elephant_is_named_with_the_cure(monkeypatch, tmp_path):
    (tmp_path / "neo.py").write_text("raise AttributeError('no attribute ptp')")
    monkeypatch.delitem(sys.modules, "neo")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"neo: .*no attribute ptp.*pip install brian2 elephant"):
        equivalence.require_elephant()


def test_false_alarms_are_as_rare_as_stated():
    """60 comparisons of equal distributions at a rate of 0.05: 10 alarms or more once in 1,000."""
    rng = torch.Generator().manual_seed(0)
    alarms = 0
    for _ in range(60):
        a, b = (torch.rand(2, 30, 20, 1, generator=rng) < 0.3).float()
        alarms += not passed(equivalence.compare(a, b, false_alarm=0.05))
    assert alarms < 10


def test_too_few_trials_are_refused():
    few = torch.zeros(10, 5, 1)
    with pytest.raises(InputError, match="20 or more"):
        equivalence.compare(few, few)
    with pytest.raises(InputError, match="generator of GLM layers"):
        equivalence.replay(torch.nn.Linear(1, 1), LABELS, torch.Generator())


def test_only_trains_are_compared():
    spikes = (torch.rand(7, 40, 3, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    for other in (spikes * torch.nan, spikes / 2):
        with pytest.raises(InputError, match="zeros and ones"):
            equivalence.compare(other, spikes)
        with pytest.raises(InputError, match="zeros and ones"):
            equivalence.trial_statistics(other)
    with pytest.raises(InputError, match="B >= 1"):
        equivalence.trial_statistics(spikes[:, :0])
    for options in ({"dt": 0.0}, {"dt": float("nan")}, {"false_alarm": 2.0}):
        with pytest.raises(InputError, match=next(iter(options))):
            equivalence.compare(spikes, spikes, **options)
    with pytest.raises(InputError, match="layers"):
        equivalence.mismatches({"a": spikes}, {"a": spikes[:, :3]})
    silent = equivalence.compare(0 * spikes, 0 * spikes)
    assert {line.as_json()["ours"] for line in silent} == {0.0, None}
