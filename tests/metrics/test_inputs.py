"""Every measure has one answer for the same values, whatever tensor holds them, or refuses them."""

import warnings
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.metrics import (
    c2st,
    classifiers,
    distributions,
    events,
    first_spikes,
    images,
    references,
    spike_trains,
)
from snn_gan_ext.types import Batch

RNG = torch.Generator().manual_seed(0)
TRAINS, OTHER_TRAINS = (torch.rand(2, 60, 24, generator=RNG) < 0.3).float()
FRAMES, OTHER_FRAMES = (torch.rand(2, 6, 24, 2, 5, 4, generator=RNG) < 0.3).float()
IMAGES, OTHER_IMAGES = torch.randint(9, (2, 24, 6), generator=RNG) / 8  # exact in half precision
LABELS = torch.arange(24) % 2
STEPS, OUTPUTS = torch.randint(11, (2, 24, 2), generator=RNG).float()

MLP = classifiers.MLP(epochs=1).fit(Labelled(IMAGES, LABELS))
TREES = classifiers.Trees().fit(Batch(TRAINS, LABELS))
CNN = classifiers.TrainCNN(updates=1)
FRAME_CNN = classifiers.FrameCNN(updates=1)
FITTED = FRAME_CNN.fit(Batch(FRAMES, LABELS))


def drawn(sampler, labels):
    return sampler(labels, torch.Generator().manual_seed(1))


def of_two(measure, kind):
    return lambda ours, theirs, labels: measure(kind(ours, labels), kind(theirs, labels))


def sampled(reference):
    return lambda images, labels: drawn(reference(Labelled(images, LABELS)), labels)


def told_apart(classifier, *data):
    return c2st.c2st(data, data, classifier)


SPIKES = {
    "runs_of": (lambda x: spike_trains.runs_of(x).lengths, TRAINS[:, 0]),
    "mode_of": (lambda x: spike_trains.mode_of(x, [(2, 3)]), TRAINS),
    "interspike_intervals": (spike_trains.interspike_intervals, TRAINS),
    "isi_wasserstein": (spike_trains.isi_wasserstein, TRAINS, OTHER_TRAINS),
    "autocorrelation": (lambda x: spike_trains.autocorrelation(x, 5), TRAINS),
    "autocorrelation_mmd": (spike_trains.autocorrelation_mmd, TRAINS, OTHER_TRAINS),
    "trial_features": (spike_trains.trial_features, TRAINS),
    "count_spread_ratio": (
        of_two(events.count_spread_ratio, Batch),
        FRAMES,
        OTHER_FRAMES,
        LABELS,
    ),
    "residual_autocorrelation": (
        lambda x, labels: events.residual_autocorrelation(Batch(x, labels)),
        FRAMES,
        LABELS,
    ),
    "autocorrelation_distance": (
        of_two(events.autocorrelation_distance, Batch),
        FRAMES,
        OTHER_FRAMES,
        LABELS,
    ),
    "nearest_distance": (of_two(events.nearest_distance, Batch), FRAMES, OTHER_FRAMES, LABELS),
    "as_images": (lambda x, y: references.as_images(Batch(x, y)).images, FRAMES, LABELS),
    "trees": (lambda x, y: classifiers.Trees().fit(Batch(x, y)).accuracy(Batch(x, y)), TRAINS, LABELS),
    "fitted trees": (lambda x, y: TREES.accuracy(Batch(x, y)), TRAINS, LABELS),
    "train_cnn": (lambda x, y: CNN.fit(Batch(x, y)).predict(TRAINS), TRAINS, LABELS),
    "frame_cnn": (lambda x, y: FRAME_CNN.fit(Batch(x, y)).predict(FRAMES), FRAMES, LABELS),
    "fitted frame_cnn": (FITTED.predict, FRAMES),
    "c2st of trains": (
        lambda x, y: told_apart(classifiers.Trees(), Batch(x), Batch(y)),
        TRAINS,
        OTHER_TRAINS,
    ),
    "halves": (lambda x, y: c2st.halves(x, y, 0)[0][0].spikes, TRAINS, OTHER_TRAINS),
}
OTHERS = {
    "decisions": (
        lambda hidden, outputs, potentials, labels: first_spikes.decisions(
            hidden, outputs, potentials, labels, 10
        ),
        STEPS,
        OUTPUTS,
        IMAGES[:, :2],
        LABELS,
    ),
    "frechet_distance": (
        lambda x, y: images.frechet_distance(MLP, x, y),
        IMAGES,
        OTHER_IMAGES,
    ),
    "inception_score": (lambda x: images.inception_score(MLP, x), IMAGES),
    "classes_covered": (lambda x: images.classes_covered(MLP, x), IMAGES),
    "energy_distance": (
        of_two(distributions.energy_distance, Labelled),
        IMAGES,
        OTHER_IMAGES,
        LABELS,
    ),
    "within_class_variance_ratio": (
        of_two(distributions.within_class_variance_ratio, Labelled),
        IMAGES,
        OTHER_IMAGES,
        LABELS,
    ),
    "class_means": (sampled(references.class_means), IMAGES, LABELS),
    "kmeans_mixture": (sampled(lambda x: references.kmeans_mixture(x, 3)), IMAGES, LABELS),
    "real_images": (sampled(references.real_images), IMAGES, LABELS),
    "pixel_marginals": (lambda x, y: drawn(references.pixel_marginals(x), y), IMAGES, LABELS),
    "pca_gaussian": (lambda x, y: drawn(references.pca_gaussian(x), y), IMAGES, LABELS),
    "as_frames": (
        lambda x, y: drawn(references.as_frames(references.resampled(x), (2, 3)), y),
        IMAGES,
        LABELS,
    ),
    "mlp": (lambda x, y: classifiers.MLP(epochs=1).fit(Labelled(x, y)).features(x), IMAGES, LABELS),
    "fitted mlp": (lambda x, y: MLP.accuracy(Labelled(x, y)), IMAGES, LABELS),
    "c2st of images": (
        of_two(lambda x, y: told_apart(classifiers.MLP(epochs=1), x, y), Labelled),
        IMAGES,
        OTHER_IMAGES,
        LABELS,
    ),
}
MEASURES = SPIKES | OTHERS


def in_inference_mode(values):
    with torch.inference_mode():
        return values.clone()


def of_floats(change, of_labels=lambda x: x):
    return lambda x: change(x) if x.is_floating_point() else of_labels(x)


SAME = {
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "with a graph": of_floats(lambda x: x.clone().requires_grad_() * 1),
    "in inference mode": in_inference_mode,
    "wide": of_floats(torch.Tensor.double, torch.Tensor.int),
    "narrow": of_floats(torch.Tensor.bfloat16, torch.Tensor.byte),
}
WHOLE = {"int": torch.Tensor.long, "bool": of_floats(torch.Tensor.bool)}
REFUSED = {
    "meta": lambda x: x.to("meta"),
    "sparse": torch.Tensor.to_sparse,
    "complex": lambda x: x.to(torch.complex64),
    "array": torch.Tensor.numpy,
    "list": torch.Tensor.tolist,
    "NaN": lambda x: x * torch.nan,
    "negative": of_floats(lambda x: x - torch.inf, lambda x: -x - 1),
    "without axes": lambda x: x.flatten()[0],
}
EXTREME = {
    "zeros": torch.zeros_like,
    "ones": torch.ones_like,
    "nothing": lambda x: x[:0],
    "no trial": lambda x: x[:, :0] if x.dim() > 1 else x[:0],
    "one row": lambda x: x[:1],
    "one trial": lambda x: x[:, :1] if x.dim() > 1 else x[:1],
    "fewer": lambda x: x[..., :-1],
}


def answers(name, changes):
    """Answers to variants of each argument in turn, by what was changed, as functions."""
    measure, *values = MEASURES[name]
    for place in range(len(values)):
        for what, change in changes.items():
            changed = [*values[:place], change(values[place]), *values[place + 1 :]]
            yield f"{what}, argument {place}", partial(measure, *changed)


@pytest.mark.parametrize("name", MEASURES)
def test_the_same_values_have_the_same_answer(name):
    measure, *values = MEASURES[name]
    expected = np.asarray(as_tensor(measure(*values)))
    for what, call in answers(name, SAME | WHOLE if name in SPIKES else SAME):
        found = as_tensor(call())
        assert not found.requires_grad, what
        np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=what)


def as_tensor(found):
    return torch.as_tensor(list(found.values()) if isinstance(found, dict) else found).double()


@pytest.mark.parametrize("name", MEASURES)
def test_other_tensors_and_values_are_refused(name):
    for what, call in answers(name, REFUSED):
        with pytest.raises(InputError):
            pytest.fail(f"{what} is taken: {call()}")


@pytest.mark.parametrize("name", MEASURES)
def test_extreme_values_and_sizes_are_measured_or_refused_without_a_warning(name):
    for _, call in answers(name, EXTREME):
        with warnings.catch_warnings(), suppress(InputError):
            warnings.simplefilter("error")
            call()
