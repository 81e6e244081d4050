"""Measures of images: the right distribution scores well, a wrong one badly."""

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.datasets.digits import load_digits
from snn_gan_ext.metrics import images, references
from snn_gan_ext.metrics.classifiers import MLP


class Linear:
    """A classifier of two pixels, which are its features."""

    classes = np.array([3, 7])

    def features(self, images):
        return images.double().numpy()

    def probabilities(self, images):
        return (images / images.sum(1, keepdim=True)).double().numpy()

    def predict(self, images):
        return self.classes[images.argmax(1)]


@pytest.fixture(scope="module")
def train():
    return load_digits().train


@pytest.fixture(scope="module")
def classifier(train):
    return MLP(0).fit(train)


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


def test_real_digits_score_best_and_marginals_worst(train, classifier, rng):
    """By margins of a tenth and more, while seeds differ by a few hundredths."""
    real, labels = load_digits().validation.images, torch.arange(500) % 10
    drawn = {
        "real": train.images[:500],
        "per class": references.per_class(references.pca_gaussian, train)(labels, rng),
        "gaussian": references.pca_gaussian(train.images)(labels, rng),
        "marginals": references.pixel_marginals(train.images)(labels, rng),
    }
    distances = [images.frechet_distance(classifier, real, x) for x in drawn.values()]
    assert max(distances[:2]) < distances[2] / 2 < distances[3] / 4
    scores = [images.inception_score(classifier, x) for x in drawn.values()]
    assert min(scores[:2]) > 1.5 * scores[2] > 1.5 * 1.1 * scores[3]
    assert images.classes_covered(classifier, drawn["real"]) == 10
    assert images.classes_covered(classifier, train.images[train.labels == 4]) == 1


def test_bad_input_is_refused(train, classifier):
    with pytest.raises(InputError, match="at least two"):
        images.frechet_distance(classifier, train.images, train.images[:1])
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        images.frechet_distance(classifier, train.images, train.images * 2)
