"""Measures of images: the same law must score well, a wrong one badly."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.metrics import classifiers, images, references


class Linear:
    """A classifier of two pixels, whose only hidden layer passes them on."""

    coefs_ = (np.eye(2), np.eye(2))
    intercepts_ = (np.zeros(2), np.zeros(2))
    classes_ = np.array([3, 7])

    def predict_proba(self, x):
        return x / x.sum(1, keepdims=True)

    def predict(self, x):
        return self.classes_[x.argmax(1)]


@pytest.fixture(scope="module")
def train():
    return load_digits().train


@pytest.fixture(scope="module")
def judge(train):
    return classifiers.fit_classifier(train, 0)


def test_frechet_distance_by_hand():
    """Uncorrelated pixels: squared distances of means and of standard deviations."""
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    other = 0.5 * corners + 0.25
    expected = 2 * (0.5 * np.std([0, 0, 1, 1], ddof=1)) ** 2
    assert images.frechet_distance(Linear(), corners, other) == pytest.approx(expected)
    assert images.frechet_distance(Linear(), corners, corners) == pytest.approx(0, abs=1e-9)
    shifted = 0.5 * corners
    assert images.frechet_distance(Linear(), other, shifted) == pytest.approx(2 * 0.25**2)


def test_inception_score_by_hand():
    sure = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert images.inception_score(Linear(), sure) == pytest.approx(2)
    assert images.inception_score(Linear(), sure[:1].expand(2, 2)) == pytest.approx(1)
    assert images.inception_score(Linear(), torch.full((2, 2), 0.5)) == pytest.approx(1)


def test_classes_covered_by_hand():
    rows = torch.tensor([[1.0, 0.0]] * 95 + [[0.0, 1.0]] * 5)
    assert images.classes_covered(Linear(), rows) == 1
    assert images.classes_covered(Linear(), rows[80:]) == 2


def test_real_digits_score_best_and_marginals_worst(train, judge):
    real = load_digits().validation.images
    drawn = {
        "real": train.images[:500],
        "per class": references.per_class(references.pca_gaussian, train, torch.arange(500) % 10),
        "gaussian": references.pca_gaussian(train.images, 500),
        "marginals": references.pixel_marginals(train.images, 500),
    }
    distances = [images.frechet_distance(judge, real, x) for x in drawn.values()]
    assert distances == sorted(distances)
    scores = [images.inception_score(judge, x) for x in drawn.values()]
    assert scores == sorted(scores, reverse=True)
    assert images.classes_covered(judge, drawn["real"]) == 10
    assert images.classes_covered(judge, train.images[train.labels == 4]) == 1


def test_floors_have_the_real_statistics(train):
    marginals = references.pixel_marginals(train.images, 4000)
    assert (marginals.mean(0) - train.images.mean(0)).abs().max() < 0.05
    assert np.isin(marginals.numpy(), train.images.numpy()).all()
    correlations = [
        np.corrcoef(x[:, train.images.var(0) > 0.02].T.numpy())
        for x in (train.images, references.pca_gaussian(train.images, 4000), marginals)
    ]
    off = ~np.eye(len(correlations[0]), dtype=bool)
    gaussian, independent = (np.abs(correlations[0] - c)[off].mean() for c in correlations[1:])
    assert gaussian < 0.05 < 0.1 < independent
    labels = torch.tensor([3, 3, 5, 3])
    of_class = references.per_class(references.pixel_marginals, train, labels, seed=4)
    threes = train.images[train.labels == 3]
    assert torch.equal(of_class[[0, 1, 3]], references.pixel_marginals(threes, 3, seed=7))


def test_bad_input_is_refused(train, judge):
    with pytest.raises(InputError, match="at least two"):
        images.frechet_distance(judge, train.images, train.images[:1])
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        images.frechet_distance(judge, train.images, train.images * 2)
    with pytest.raises(InputError, match="classes that"):
        references.per_class(references.pca_gaussian, Labelled(*train), torch.tensor([11]))
