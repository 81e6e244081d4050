import math

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.metrics import distributions
from tests.metrics.samples import blobs


def test_energy_distance_is_zero_for_one_distribution_and_not_for_another(rng):
    distances = [distributions.energy_distance(blobs(rng), blobs(rng)) for _ in range(20)]
    # Unbiased: the mean over 20 pairs lies within 4 standard errors of 0 (false alarms: 1 in 1e4).
    distances = torch.tensor(distances)
    assert distances.mean().abs() < 4 * distances.std() / 20**0.5
    assert distances.max() < 0.005
    assert distributions.energy_distance(blobs(rng), blobs(rng, shift=0.1)) > 0.05


def test_energy_distance_by_hand():
    labels = torch.zeros(2, dtype=torch.long)
    real = Labelled(torch.tensor([[0.0], [1.0]]), labels)
    fake = Labelled(torch.tensor([[0.0], [0.5]]), labels)
    # 2 E|X - Y| = 2 (0 + .5 + 1 + .5) / 4, E|X - X'| = 1, E|Y - Y'| = .5
    assert distributions.energy_distance(real, fake) == pytest.approx(1.0 - 1.0 - 0.5)


def test_within_class_variance_ratio_is_blind_to_class_means(rng):
    real = blobs(rng, count=4000)
    ratio = distributions.within_class_variance_ratio(real, blobs(rng, 4000, shift=0.1))
    assert ratio == pytest.approx(1.0, abs=6 * 0.0085)  # by the kurtosis 1.8 of 24,000 uniforms
    narrow = distributions.within_class_variance_ratio(real, blobs(rng, 4000, spread=0.05))
    assert narrow == pytest.approx(0.25, abs=0.02)


def test_classes_without_variance_are_left_out(rng):
    real, other = blobs(rng), blobs(rng)
    still = real.images.clone()
    still[real.labels == 1] = 0.5
    ratio = distributions.within_class_variance_ratio(Labelled(still, real.labels), other)
    expected = [x.images[x.labels == 0].var(0).sum() for x in (other, real)]
    assert ratio == pytest.approx(float(expected[0] / expected[1]))
    equal = Labelled(torch.full_like(still, 0.5), real.labels)
    assert math.isnan(distributions.within_class_variance_ratio(equal, other))


def test_pca_repeats_and_leaves_global_random_sources_alone(rng):
    """Of many features: the decomposition that draws random numbers."""
    real = torch.rand(600, 550, generator=rng)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = (distributions.pca_projection(real)[0] for _ in range(2))
    assert np.array_equal(first, second)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_data_without_two_components_are_refused(rng):
    real = torch.rand(5, 4, generator=rng)
    for data in ((real[:1],), (real[:, :1],), (real, real[:, :3]), (real, real * torch.nan)):
        with pytest.raises(InputError, match=r"real|samples"):
            distributions.pca_projection(*data)


def test_pca_projects_onto_the_axes_of_the_real_data(rng):
    real = torch.randn(500, 4, generator=rng) * torch.tensor([5.0, 1.0, 0.1, 0.1])
    on_real, on_other = distributions.pca_projection(real, real * 2)
    assert on_real.shape == (500, 2)
    assert abs(on_real[:, 0].std() - 5) < 6 * 5 / 1000**0.5  # false alarms below 1 in 1e6
    assert on_other[:, 0].std() == pytest.approx(2 * on_real[:, 0].std(), rel=1e-3)


def test_missing_classes_are_named(rng):
    real = blobs(rng)
    lone = Labelled(real.images[:3], torch.tensor([0, 0, 1]))
    for measure in (distributions.energy_distance, distributions.within_class_variance_ratio):
        with pytest.raises(InputError, match="two of the same classes"):
            measure(real, lone)
