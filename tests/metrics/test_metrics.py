import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.metrics import classifiers, distributions, references


def blobs(rng, count=400, spread=0.1, shift=0.0, classes=2, pixels=6):
    """Classes of bounded noise around well separated means."""
    labels = torch.arange(count) % classes
    means = torch.linspace(0.25, 0.75, classes)[labels].unsqueeze(1)
    noise = torch.rand(count, pixels, generator=rng) - 0.5
    return Labelled((means + shift + 2 * spread * noise).clamp(0, 1), labels)


def test_energy_distance_is_zero_for_one_law_and_not_for_another(rng):
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


def test_within_class_variance_ratio_is_blind_to_the_classes_means(rng):
    real = blobs(rng, count=4000)
    ratio = distributions.within_class_variance_ratio(real, blobs(rng, 4000, shift=0.1))
    assert ratio == pytest.approx(1.0, abs=0.05)
    narrow = distributions.within_class_variance_ratio(real, blobs(rng, 4000, spread=0.05))
    assert narrow == pytest.approx(0.25, abs=0.02)


def test_two_sample_test_knows_one_law_from_two(rng):
    same = distributions.classifier_two_sample_test(
        (blobs(rng), blobs(rng)), (blobs(rng), blobs(rng)), seed=0
    )
    assert abs(same - 0.5) < 0.09  # 800 coin tosses: false alarms below 1 in 1e6
    other = distributions.classifier_two_sample_test(
        (blobs(rng), blobs(rng, spread=0.02)), (blobs(rng), blobs(rng, spread=0.02)), seed=0
    )
    assert other > 0.8


def test_two_sample_test_sees_labels(rng):
    """Images of one law, each with the label of the other class."""

    def pair():
        images, labels = blobs(rng)
        return Labelled(images, labels), Labelled(images, 1 - labels)

    assert distributions.classifier_two_sample_test(pair(), pair(), seed=0) > 0.9


def test_pca_projects_onto_the_real_datas_axes(rng):
    real = torch.randn(500, 4, generator=rng) * torch.tensor([5.0, 1.0, 0.1, 0.1])
    on_real, on_other = distributions.pca_projection(real, real * 2)
    assert on_real.shape == (500, 2)
    assert abs(on_real[:, 0].std() - 5) < 0.6
    assert on_other[:, 0].std() == pytest.approx(2 * on_real[:, 0].std(), rel=1e-3)


def test_transfer_accuracies(rng):
    train, test = blobs(rng, spread=0.2), blobs(rng, spread=0.2)
    assert classifiers.tstr(train, test, seed=0, repeats=2) > 0.95
    swapped = Labelled(train.images, 1 - train.labels)
    assert classifiers.tstr(swapped, test, seed=0, repeats=1) < 0.05
    judge = classifiers.fit_classifier(train, seed=0)
    assert classifiers.accuracy(judge, test) > 0.95
    assert classifiers.accuracy(judge, Labelled(test.images, 1 - test.labels)) < 0.05


def test_floors_have_the_right_means(rng):
    train = blobs(rng, count=600)
    labels = torch.tensor([0, 1, 1, 0])
    means = references.class_means(train, labels)
    torch.testing.assert_close(means[0], train.images[train.labels == 0].mean(0))
    assert torch.equal(means[0], means[3])
    many = torch.ones(2000, dtype=torch.long)
    mixture = references.kmeans_mixture(train, many, clusters=4, seed=1)
    assert len(mixture.unique(dim=0)) == 4
    torch.testing.assert_close(mixture.mean(0), means[1], atol=0.02, rtol=0)


def test_clusters_are_drawn_as_often_as_they_come():
    """A tenth is bright. 2,000 draws: beyond 5 standard errors once in 2 million runs."""
    images = torch.full((100, 3), 0.2)
    images[::10] = 0.8
    labels = torch.zeros(100, dtype=torch.long)
    many = torch.zeros(2000, dtype=torch.long)
    mixture = references.kmeans_mixture(Labelled(images, labels), many, clusters=2)
    bright = (mixture[:, 0] > 0.5).float().mean().item()
    assert bright == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / 2000) ** 0.5)


def test_missing_classes_are_named(rng):
    real = blobs(rng)
    lone = Labelled(real.images[:3], torch.tensor([0, 0, 1]))
    for measure in (distributions.energy_distance, distributions.within_class_variance_ratio):
        with pytest.raises(InputError, match="two of the same classes"):
            measure(real, lone)
