"""Every classifier learns two separable classes, by one interface, and repeats by its seed."""

import pickle
from dataclasses import replace

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.images import Labelled, rate_encode
from snn_gan_ext.metrics.classifiers import MLP, FrameCNN, SpikingMLE, TrainCNN, Trees, trts, tstr
from snn_gan_ext.types import Batch
from tests.metrics.samples import blobs, trains


def slow_and_fast(rng):
    spikes = torch.cat([trains(rng, 60, rate=0.1), trains(rng, 60, rate=0.4)], 1)
    return Batch(spikes, torch.arange(2).repeat_interleave(60))


def left_and_right(rng):
    labels = torch.arange(60) % 2
    frames = (torch.rand(5, 60, 2, 6, 6, generator=rng) < 0.1).float()
    frames[:, labels == 1, ..., :3] = 1 - frames[:, labels == 1, ..., :3]
    return Batch(frames, labels)


def in_a_row(rng):
    """Trials ``[T, B, 4]`` that spike on the left or on the right."""

    def draw(labels, rng):
        images = torch.tensor([[0.9, 0.8, 0.1, 0.1], [0.1, 0.1, 0.8, 0.9]])[labels]
        return rate_encode(images, 6, rng=rng)

    return draw


CLASSIFIERS = {
    "mlp": (MLP(epochs=30), blobs, blobs),
    "trees": (Trees(), slow_and_fast, slow_and_fast),
    "train_cnn": (TrainCNN(updates=100), slow_and_fast, slow_and_fast),
    "frame_cnn": (FrameCNN(updates=20), left_and_right, left_and_right),
    "spiking": (
        SpikingMLE(classes=2, updates=300, hidden=4),
        in_a_row,
        lambda rng: Batch(in_a_row(rng)(torch.arange(80) % 2, rng), torch.arange(80) % 2),
    ),
}


UPDATES = {"updates": 2}
SHORT = {name: UPDATES for name in CLASSIFIERS} | {"mlp": {"epochs": 2}, "trees": {}}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_learn_and_notice_swapped_labels(name, rng):
    classifier, train, test = CLASSIFIERS[name]
    data, held_out = train(rng), test(rng)
    assert tstr(classifier, data, held_out, repeats=1) > 0.85
    swapped = held_out._replace(labels=1 - held_out.labels)
    assert trts(classifier, data, swapped) < 0.15


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_repeat_by_seed_and_leave_global_random_sources_alone(name, rng):
    classifier, train, test = CLASSIFIERS[name]
    classifier = replace(classifier, **SHORT[name])
    data, held_out = train(rng), test(rng)
    before = torch.get_rng_state()
    first, second = (classifier.fit(data).accuracy(held_out) for _ in range(2))
    assert first == second
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        assert classifier.fit(data).accuracy(held_out) == first


def test_tstr_averages_classifiers_of_consecutive_seeds(rng):
    train, test = blobs(rng, 40, spread=0.5), blobs(rng, spread=0.5)
    each = [MLP(seed, epochs=2).fit(train).accuracy(test) for seed in (4, 5)]
    assert tstr(MLP(4, epochs=2), train, test, repeats=2) == pytest.approx(sum(each) / 2)
    with pytest.raises(InputError, match="repeats"):
        tstr(MLP(), train, test, repeats=0)


def test_an_mlp_names_its_classes_and_passes_on_its_features(rng):
    images, labels = blobs(rng, spread=0.02)
    fitted = MLP(epochs=30).fit(Labelled(images, 3 + 4 * labels))
    assert fitted.classes.tolist() == [3, 7]
    assert (fitted.predict(images) == 3 + 4 * labels.numpy()).mean() > 0.95
    assert fitted.probabilities(images).shape == (400, 2)
    assert fitted.features(images).shape == (400, 100)


def test_a_spiking_classifier_has_two_readouts_of_one_run(rng):
    _, sampler, trials = CLASSIFIERS["spiking"]
    fitted, data = SpikingMLE(classes=2, updates=2, hidden=4).fit(sampler(rng)), trials(rng)
    state = fitted.rng.get_state()
    both = fitted.accuracies(data)
    run = fitted.network.run(data.spikes, fitted.rng.set_state(state))
    assert both["count"] == float((run.spikes.sum(0).argmax(-1) == data.labels).float().mean())
    fitted.rng.set_state(state)
    assert fitted.accuracy(data) == both["probability"]


def test_frames_of_many_pixels_and_odd_lengths_are_counted(rng):
    spikes = (torch.rand(7, 12, 1, 30, 26, generator=rng) < 0.1).float()
    labels = torch.arange(12) % 3
    fitted = FrameCNN(updates=2).fit(Batch(spikes, labels))
    assert fitted.prepare(spikes).shape == (12, 7, 30, 26)
    assert fitted.predict(spikes).shape == (12,)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_fitted_classifiers_can_be_pickled(name, rng):
    classifier, train, test = CLASSIFIERS[name]
    fitted = replace(classifier, **SHORT[name]).fit(train(rng))
    data = test(rng)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.accuracy(data) == fitted.accuracy(data)


def test_data_of_another_size_than_the_training_data_are_refused(rng):
    mlp, images = MLP(epochs=2).fit(blobs(rng)), blobs(rng, pixels=5)
    frames = left_and_right(rng)
    cnn = FrameCNN(updates=1).fit(frames)
    for call in (
        lambda: mlp.accuracy(images),
        lambda: mlp.predict(images.images),
        lambda: cnn.predict(frames.spikes[1:]),
        lambda: cnn.predict(frames.spikes[..., 1:]),
    ):
        with pytest.raises(InputError, match="expected shape"):
            call()


def test_labels_that_would_fill_the_memory_are_refused(rng):
    data = left_and_right(rng)
    with pytest.raises(InputError, match=r"0 \.\. 9999"):
        FrameCNN().fit(data._replace(labels=data.labels + 10**12))


@pytest.mark.parametrize(
    "settings",
    [
        lambda: MLP(epochs=0),
        lambda: MLP(alpha=-1.0),
        lambda: Trees(0.5),
        lambda: TrainCNN(-1),
        lambda: TrainCNN(updates=0),
        lambda: FrameCNN(blocks=0),
        lambda: SpikingMLE(classes=0),
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError):
        settings()


def test_bad_data_are_refused(rng):
    data = slow_and_fast(rng)
    with pytest.raises(InputError, match="60 time steps"):
        TrainCNN().fit(data._replace(spikes=data.spikes[1:]))
    with pytest.raises(InputError, match=r"0 \.\. 1"):
        TrainCNN().fit(data._replace(labels=2 * data.labels))
    with pytest.raises(InputError, match=r"\[T, B, C, H, W\]"):
        FrameCNN().fit(data)
    for classifier in (Trees(), TrainCNN(), FrameCNN()):
        with pytest.raises(InputError, match="labels"):
            classifier.fit(Batch(data.spikes))
