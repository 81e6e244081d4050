"""Settings of data, generators and discriminators build the networks that they describe."""

from dataclasses import dataclass, replace

import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.coding.decoders import Counts, PooledRates, Rates
from snn_gan_ext.experiments.components import (
    MLP,
    TTFS,
    Basis,
    Classifier,
    Conditional,
    Convolutional,
    Data,
    Intervals,
    OnOff,
    OrdinaryGenerator,
    Particles,
    Prefixes,
    StepResponse,
    Temporal,
)
from snn_gan_ext.experiments.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Trials(Data):
    """Spikes of any shape at given rates."""

    shape: tuple[int, ...] = (5, 6)
    classes: int = 3

    @property
    def trials_to_learn_from(self):
        return torch.ones(*self.shape[:1], 10, *self.shape[1:])

    def class_rates(self):
        return torch.linspace(0.1, 0.6, self.classes).reshape(1, -1, 1).expand(5, -1, 6)

    def batch(self, size, rng):
        raise NotImplementedError


DIGITS = Trials()
FRAMES = Trials(shape=(4, 2, 9, 9))
NEURON = Trials(shape=(20, 1), classes=0)
IMAGES = Trials(shape=(1, 64), classes=10)


def test_labels_are_the_classes_in_turn_or_all_of_one_class():
    assert DIGITS.labels(5).tolist() == [0, 1, 2, 0, 1]
    assert DIGITS.labels(3, 2).tolist() == [2, 2, 2]
    for label in (3, -1):
        with pytest.raises(InputError, match=r"label: expected 0 \.\. 2"):
            DIGITS.labels(3, label)


def test_trials_without_labels_have_a_number_in_their_place():
    assert NEURON.labels(5) == 5
    with pytest.raises(InputError, match="label: expected none"):
        NEURON.labels(5, 0)


def test_a_basis_is_of_its_kind_and_length():
    assert Basis(window=7).tensor().shape == (1, 7)
    assert Basis(kind="raised_cosine", functions=3, window=20).tensor().shape == (3, 20)
    assert torch.equal(Basis(kind="identity", window=4).tensor(), torch.eye(4))


def test_a_basis_is_scaled_to_its_area():
    plain = Basis(kind="raised_cosine", functions=3, window=20)
    scaled = replace(plain, area=2.5).tensor()
    assert float(scaled.sum()) == pytest.approx(2.5)
    torch.testing.assert_close(scaled / scaled.sum(), plain.tensor() / plain.tensor().sum())


@pytest.mark.parametrize(
    ("settings", "data"),
    [
        (Conditional(hidden=4, latent_bits=2), DIGITS),
        (Conditional(hidden=0, latent_bits=2, class_rates=True), FRAMES),
        (Convolutional(maps=2, latent_bits=2), FRAMES),
        (Convolutional(maps=2, latent_bits=2), Trials(shape=(4, 2, 17, 17))),
        (Convolutional(maps=2, latent_bits=2), Trials(shape=(4, 2, 34, 34))),
        (StepResponse(), NEURON),
        (Particles(size=2, member=StepResponse()), NEURON),
        (Particles(size=2, member=Conditional(hidden=4)), DIGITS),
    ],
)
def test_generators_draw_trials_of_the_datas_shape(settings, data, rng):
    network = settings.build(data, rng)
    steps, *sizes = data.shape
    drawn = network.sample(labels(data, 6), network.noise(6, rng))
    assert drawn.spikes.shape == (steps, 6, *sizes)


def labels(data, count):
    return torch.arange(count) % data.classes if data.classes else None


@pytest.mark.parametrize(
    ("settings", "data", "decode"),
    [
        (MLP(hidden=(8,)), DIGITS, Rates()),
        (MLP(hidden=(8,), projection=True), Trials(shape=(10, 2, 9, 9)), Counts()),
        (MLP(hidden=(8,)), Trials(shape=(8, 6)), PooledRates()),
        (Temporal(layers=((4, 2, 1),)), DIGITS, None),
        (Prefixes(hidden=(8,)), DIGITS, None),
        (Intervals(), NEURON, None),
    ],
)
def test_discriminators_receive_decoded_trials(settings, data, decode, rng):
    network = settings.build(data, decode, rng)
    spikes = (torch.rand(data.shape[0], 6, *data.shape[1:], generator=rng) < 0.3).float()
    assert network(decode(spikes) if decode else spikes, labels(data, 6)).shape == (6,)


def test_networks_of_images_and_first_spikes_have_one_input_a_pixel(rng):
    for generator in (TTFS(latents=3, hidden=5), OrdinaryGenerator(latents=3, hidden=5)):
        network = generator.build(IMAGES, rng)
        assert network(labels(IMAGES, 4), network.noise(4, rng))[0].shape == (4, 64)
    for discriminator in (OnOff(hidden=5), MLP(hidden=(5,))):
        assert discriminator.build(IMAGES, None, rng)(torch.rand(4, 64), labels(IMAGES, 4)).shape == (
            4,
        )
    fired = Classifier(hidden=5).build(Trials(shape=(32, 64), classes=10), rng)(torch.ones(4, 64))
    assert [layer.times.shape for layer in fired] == [(4, 5), (4, 10)]


@torch.no_grad()
def test_members_of_an_ensemble_differ_and_share_a_part_of_their_weights(rng):
    """The standard deviation of 100 weights has one of 0.07 itself: 0.36 is five of them."""

    def spread(settings):
        members = settings.build_many(100, NEURON, rng)
        feedback = torch.stack([member.network.layers["readout"].feedback for member in members])
        return float(feedback.std(0).mean())

    assert spread(StepResponse(weight_std=1.0, shared_std=0.0)) == pytest.approx(1, abs=0.36)
    assert spread(StepResponse(weight_std=0.0, shared_std=1.0)) == pytest.approx(0, abs=1e-6)


@torch.no_grad()
def test_initial_biases_differ_between_members_by_their_own_spread(rng):
    """Five standard deviations of the mean of 400 numbers, and of their standard deviation."""

    def biases(std):
        members = StepResponse(bias_init=-2.0, bias_std=std).build_many(400, NEURON, rng)
        return torch.stack([member.network.layers["readout"].bias for member in members])

    assert torch.equal(biases(0.0), torch.full((400, 1), -2.0))
    found = biases(0.5)
    assert float(found.mean()) == pytest.approx(-2.0, abs=5 * 0.5 / 20)
    assert float(found.std()) == pytest.approx(0.5, abs=5 * 0.5 / 20 / 2**0.5)


def test_generators_are_initialised_at_the_classes_rates(rng):
    """The largest error of 90 rates is 0.028 +- 0.005 (20 seeds): 0.06 is 6 standard deviations."""
    basis = Basis(kind="identity", window=5)
    settings = Conditional(hidden=0, latent_bits=0, weight_std=0.0, class_rates=True, basis=basis)
    network = settings.build(DIGITS, rng)
    settings.initialise(network, DIGITS)
    labels = torch.arange(3).repeat_interleave(2000)
    drawn = network.sample(labels, network.noise(len(labels), rng)).spikes
    found = drawn.unflatten(1, (3, 2000)).mean(2)
    torch.testing.assert_close(found, DIGITS.class_rates(), atol=0.06, rtol=0)


def test_a_discriminator_of_intervals_knows_the_mean_number_of_spikes(rng):
    network = Intervals().build(NEURON, None, rng)
    Intervals().initialise(network, NEURON)
    assert float(network.get_buffer("scale").max()) == 20


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Conditional(basis=Basis(window=0)), "window"),
        (Conditional(basis=Basis(decay=0.0)), "decay"),
        (Conditional(basis=Basis(area=-1.0)), "area"),
        (Conditional(hidden=-1), "hidden"),
        (Conditional(latent_bits=-1), "latent_bits"),
        (Conditional(hidden_delay=-1), "hidden_delay"),
        (Convolutional(maps=0), "maps"),
        (Convolutional(stride=0), "stride"),
        (StepResponse(weight_std=-1.0), "weight_std"),
        (StepResponse(bias_std=-1.0), "bias_std"),
        (Particles(size=0, member=StepResponse()), "size"),
        (Particles(size=2, member=StepResponse(bias_std=-1.0)), "bias_std"),
        (Classifier(hidden=0), "hidden"),
        (TTFS(latents=0), "latents"),
        (OrdinaryGenerator(hidden=0), "hidden"),
        (OnOff(hidden=0), "hidden"),
        (OnOff(weight_scale=-1.0), "weight_scale"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, says):
    part = "discriminator" if isinstance(settings, OnOff) else "generator"
    with pytest.raises(InputError, match=says):
        RECIPES["digits"].vary({part: settings}).check()


@pytest.mark.parametrize(
    "build",
    [
        lambda rng: MLP(hidden=(0,)).build(DIGITS, None, rng),
        lambda rng: MLP(label_scale=float("nan")).build(DIGITS, None, rng),
        lambda rng: Temporal(layers=((4, 9, 1),)).build(DIGITS, None, rng),
        lambda rng: Conditional(weight_std=-1.0).build(DIGITS, rng),
        lambda rng: MLP().build(Trials(shape=(10, 6)), PooledRates(), rng),
    ],
)
def test_settings_that_no_network_can_have_are_refused_when_it_is_built(build, rng):
    with pytest.raises(InputError):
        build(rng)


def test_a_basis_of_more_functions_than_steps_is_refused():
    with pytest.raises(InputError, match="functions: expected a whole number from 1 to 6"):
        RECIPES["digits"].vary({"generator.basis.functions": 7}).check()


@pytest.mark.parametrize(
    ("count", "label"), [(-1, None), (1.5, None), (10**15, None), (3, 1.5), (3, True), (3, "1")]
)
def test_numbers_of_labels_and_labels_are_whole_numbers(count, label):
    with pytest.raises(InputError, match=r"count|label"):
        DIGITS.labels(count, label)
