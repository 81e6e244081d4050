"""`TemporalBackprop` and `ImageGAN` on toy tasks."""

import io

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.algorithms.image_gan import ImageGAN
from snn_gan_ext.algorithms.temporal_backprop import FiringTimes, TemporalBackprop
from snn_gan_ext.coding.images import Labelled
from snn_gan_ext.coding.latency import latency_encode
from snn_gan_ext.metrics.first_spikes import decisions
from snn_gan_ext.networks.discriminators import MLPDiscriminator
from snn_gan_ext.networks.images import MLPGenerator
from snn_gan_ext.networks.ttfs import OnOffDiscriminator, TTFSClassifier, TTFSGenerator

T = 20


def stripes(rng, count=64):
    """Four classes of 16 pixels: which quarter is bright."""
    labels = torch.randint(0, 4, (count,), generator=rng)
    images = 0.15 * torch.rand(count, 4, 4, generator=rng)
    images[torch.arange(count), labels] += 0.8
    return Labelled(images.flatten(1), labels)


def classify(targets, rng):
    network = TTFSClassifier(16, 4, T, hidden=30, hidden_weights=(0.2, 0.1), rng=rng)
    algorithm = TemporalBackprop(updates=300, window=T, targets=targets, margin=3, deadline=4, lr=1e-2)
    state = algorithm.init(network, rng)
    for _ in range(300):
        images, labels = stripes(rng)
        metrics = algorithm.update(state, FiringTimes(latency_encode(images, T), labels))
    assert set(metrics) == {"loss", "accuracy", "first_output", "hidden_share"}
    images, labels = stripes(rng, 500)
    hidden, outputs = network(latency_encode(images, T))
    return decisions(hidden.times, outputs.times, outputs.potentials, labels, T)


def test_both_targets_are_learned_and_aggressive_ones_decide_earlier(rng):
    """Of 10 seeds, accuracies are above 0.99, and latencies 0.20 +- 0.02 of each other."""
    found = {name: classify(name, rng) for name in ("relative", "aggressive")}
    assert found["relative"]["tie_accuracy"] > 0.95
    assert found["aggressive"]["strict_accuracy"] > 0.95
    assert found["aggressive"]["latency"] < 0.5 * found["relative"]["latency"]


def test_dead_neurons_come_back(rng):
    """A share of 0.46 +- 0.08 (10 seeds)."""
    network = TTFSClassifier(
        16, 4, T, hidden=30, hidden_weights=(-0.1, 0.01), output_weights=(-0.1, 0.0), rng=rng
    )

    def train(amount):
        algorithm = TemporalBackprop(
            updates=100, window=T, deadline=5, margin=3, lr=0.0, boost=amount, targets="aggressive"
        )
        state = algorithm.init(network, rng)
        for _ in range(100):
            images, labels = stripes(rng)
            metrics = algorithm.update(state, FiringTimes(latency_encode(images, T), labels))
        return metrics["hidden_share"]

    assert train(0.0) == 0
    assert train(5e-3) > 0.02


def test_outputs_are_helped_below_two_fifths_of_the_share_of_hidden_neurons(rng):
    """Of ten trials, neurons fire in 1, 3 and 6; the least is 0.5, and 0.2 for outputs."""
    network = TTFSClassifier(16, 3, T, hidden=3, rng=rng)
    algorithm = TemporalBackprop(updates=1, window=T, least_active=0.5, boost=0.1)
    before = [layer.weight.clone() for layer in network.layers]
    silent = torch.arange(10).unsqueeze(1) >= torch.tensor([1, 3, 6])
    times = [torch.where(silent, T, 0) for _ in network.layers]
    algorithm._keep_alive(network, times)
    helped = [(layer.weight != old).all(0) for layer, old in zip(network.layers, before, strict=True)]
    assert [x.tolist() for x in helped] == [[True, True, False], [True, False, False]]


@pytest.mark.parametrize("kind", ["spiking", "ordinary"])
def test_a_gan_learns_the_stripes(kind, rng):
    """Distances are 0.06 +- 0.027 and 0.036 +- 0.005 in the end (10 seeds): 0.2 is 5 of the former.

    They are 0.27 +- 0.006 and 0.42 +- 0.02 before training.
    """
    if kind == "spiking":
        generator = TTFSGenerator(16, 4, latents=4, hidden=24, rng=rng)
        discriminator = OnOffDiscriminator(16, 4, hidden=24, rng=rng)
    else:
        generator = MLPGenerator(16, 4, latents=4, hidden=24, rng=rng)
        discriminator = MLPDiscriminator(16, 4, hidden=(24,), rng=rng)
    algorithm = ImageGAN(updates=400, generator_lr=5e-3, discriminator_lr=5e-3, averaging=0.9)
    state = algorithm.init(generator, discriminator, rng)

    def distance():
        labels = torch.arange(200) % 4
        drawn = state.averaged(labels, generator.noise(200, rng)).images.detach()
        real, kinds = stripes(rng, 400)
        means = torch.stack([real[kinds == k].mean(0) for k in range(4)])
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        return float((drawn - means[labels]).abs().mean())

    before = distance()
    for _ in range(400):
        algorithm.update(state, stripes(rng))
    assert distance() < 0.2 < before


def test_the_r1_penalty_comes_every_so_many_steps_and_weighs_so_many_times_as_much():
    """The slope of a linear discriminator is its weights, and that of their square is twice them."""

    def gradients(r1):
        weights = torch.Generator().manual_seed(0)
        discriminator = MLPDiscriminator(16, 4, hidden=(), rng=weights)
        still = {"generator_lr": 0.0, "discriminator_lr": 0.0}
        algorithm = ImageGAN(updates=9, r1=r1, r1_every=3, **still)
        state = algorithm.init(MLPGenerator(16, 4, rng=weights), discriminator, weights)
        layer, found = discriminator.layers[0], []
        for _ in range(4):
            algorithm.update(state, stripes(weights))
            found.append(layer.weight.grad[0].clone())
        return torch.stack(found), layer.weight[0, :16].detach()

    (with_penalty, slope), (without, _) = gradients(0.25), gradients(0.0)
    expected = torch.zeros(4, 20)
    expected[[0, 3], :16] = 3 * 0.25 * 2 * slope
    torch.testing.assert_close(with_penalty - without, expected)


def test_sparsity_silences_hidden_neurons():
    """To 0.09 +- 0.03 of their activity (10 seeds)."""

    def active(sparsity):
        weights = torch.Generator().manual_seed(0)
        generator = TTFSGenerator(16, 4, latents=4, hidden=24, rng=weights)
        discriminator = OnOffDiscriminator(16, 4, hidden=24, rng=weights)
        algorithm = ImageGAN(updates=100, generator_lr=1e-2, sparsity=sparsity)
        state = algorithm.init(generator, discriminator, weights)
        for _ in range(100):
            metrics = algorithm.update(state, stripes(weights))
        return metrics["activity"]

    assert active(1.0) < 0.5 * active(0.0)


def test_a_state_goes_on_where_it_was_saved():
    def parts():
        weights = torch.Generator().manual_seed(0)
        generator = TTFSGenerator(16, 4, latents=4, hidden=8, rng=weights)
        return ImageGAN(updates=9), generator, OnOffDiscriminator(16, 4, hidden=8, rng=weights)

    def run(state, algorithm, data, count):
        for _ in range(count):
            algorithm.update(state, stripes(data))

    algorithm, *networks = parts()
    state = algorithm.init(*networks, torch.Generator().manual_seed(1))
    data = torch.Generator().manual_seed(2)
    run(state, algorithm, data, 3)
    at, file = data.get_state(), io.BytesIO()
    torch.save(state.state_dict(), file)
    file.seek(0)
    run(state, algorithm, data, 2)
    algorithm, *networks = parts()
    other = algorithm.init(*networks, torch.Generator().manual_seed(9))
    other.load_state_dict(torch.load(file, weights_only=True))
    run(other, algorithm, data.set_state(at), 2)
    for a, b in zip(state.averaged.parameters(), other.averaged.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: TemporalBackprop(updates=0, window=T), "at least 1"),
        (lambda: TemporalBackprop(updates=1, window=1), "at least 2"),
        (lambda: TemporalBackprop(updates=1, window=5), "margin"),
        (lambda: TemporalBackprop(updates=1, window=12), "deadline"),
        (lambda: TemporalBackprop(updates=1, window=99, targets="late"), "relative, aggressive"),
        (lambda: TemporalBackprop(updates=1, window=99, lr=float("nan")), "0 or more"),
        (lambda: ImageGAN(updates=0), "at least 1"),
        (lambda: ImageGAN(updates=1, r1_every=0), "at least 1"),
        (lambda: ImageGAN(updates=1, r1=float("inf")), "0 or more"),
        (lambda: ImageGAN(updates=1, averaging=1.0), "below 1"),
    ],
)
def test_settings_out_of_range_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_batches_that_do_not_fit_are_refused(rng):
    network = TTFSClassifier(16, 4, T, hidden=3, rng=rng)
    algorithm = TemporalBackprop(updates=5, window=T, margin=3, deadline=5)
    state = algorithm.init(network, rng)
    times = torch.zeros(6, 16)
    with pytest.raises(InputError, match=r"labels: expected whole numbers \[6\]"):
        algorithm.update(state, FiringTimes(times, torch.zeros(5, dtype=torch.long)))
    with pytest.raises(InputError, match=r"labels: expected 0 \.\. 3"):
        algorithm.update(state, FiringTimes(times, torch.full((6,), 4)))
    with pytest.raises(InputError, match="at least one trial"):
        algorithm.update(state, FiringTimes(times[:0], torch.zeros(0, dtype=torch.long)))
    with pytest.raises(InputError, match="whole steps"):
        algorithm.update(state, FiringTimes(times + 0.5, torch.zeros(6, dtype=torch.long)))
    other = TemporalBackprop(updates=5, window=T + 1, margin=3, deadline=5)
    with pytest.raises(InputError, match="21 steps"):
        other.update(other.init(network, rng), FiringTimes(times, torch.zeros(6, dtype=torch.long)))
    generator = TTFSGenerator(16, 4, rng=rng)
    gan = ImageGAN(updates=5)
    state = gan.init(generator, OnOffDiscriminator(16, 4, rng=rng), rng)
    with pytest.raises(InputError, match=r"\[3, 16\]"):
        gan.update(state, Labelled(torch.zeros(3, 9), torch.tensor([0, 1, 2])))
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        gan.update(state, Labelled(torch.full((3, 16), 2.0), torch.tensor([0, 1, 2])))
    with pytest.raises(InputError, match=r"0 \.\. 3"):
        gan.update(state, Labelled(torch.zeros(3, 16), torch.tensor([0, 1, 4])))


def test_images_without_labels_teach_a_gan_without_labels(rng):
    generator = TTFSGenerator(16, 0, latents=4, hidden=8, rng=rng)
    algorithm = ImageGAN()
    state = algorithm.init(generator, OnOffDiscriminator(16, 0, hidden=8, rng=rng), rng)
    before = generator.readout.weight.clone()
    for _ in range(2):
        algorithm.update(state, Labelled(stripes(rng).images, None))
    assert not torch.equal(generator.readout.weight, before)
    with pytest.raises(InputError, match="same classes"):
        algorithm.init(generator, MLPDiscriminator(16, 4), rng)
