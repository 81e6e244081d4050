"""The same spikes in Brian2 on the same uniforms, on each of its targets."""

import sys

import pytest
import torch

from snn_gan_ext import GLMConv1d, GLMConv2d, GLMLayer, InputError, masks
from snn_gan_ext.brian.network import BrianNetwork, require_brian2, use_target
from snn_gan_ext.functional.bases import exponential_basis, identity_basis, raised_cosine_basis
from snn_gan_ext.networks.generators import (
    ConditionalGenerator,
    ConvolutionalGenerator,
    StepResponseGenerator,
)
from snn_gan_ext.networks.glm import GLMNetwork

brian2 = pytest.importorskip("brian2", reason="brian2 is not installed")


@pytest.fixture(autouse=True)
def numpy_target():
    brian2.prefs.codegen.target = "numpy"


TARGETS = [
    "numpy",
    pytest.param("cython", marks=pytest.mark.slow),
    pytest.param("cpp_standalone", marks=pytest.mark.slow),
]


@pytest.fixture(params=TARGETS)
def target(request):
    with use_target(request.param):
        yield request.param


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def replay(generator, labels, noise):
    network = BrianNetwork(generator.network, generator.exogenous(labels, noise), noise)
    return network.run()


def digits_generator(num_steps=20, hidden_delay=1, rng=None):
    return ConditionalGenerator(
        10,
        64,
        num_steps,
        hidden=64,
        latent_bits=8,
        gate_latent=True,
        basis=exponential_basis(6, 2.0),
        hidden_delay=hidden_delay,
        rng=rng,
    )


@pytest.mark.usefixtures("double", "target")
@pytest.mark.parametrize("hidden_delay", [0, 1, 3])
def test_a_generator_has_the_same_spikes_in_brian(rng, hidden_delay):
    generator = digits_generator(hidden_delay=hidden_delay, rng=rng)
    labels = torch.arange(10)
    noise = generator.noise(10, rng)
    expected = generator.sample(labels, noise)
    found = replay(generator, labels, noise)
    for name, run in expected.runs.items():
        assert 0.05 < run.spikes.mean() < 0.95
        assert torch.equal(found[name], run.spikes.to(found[name]))


@pytest.mark.usefixtures("double")
def test_an_empty_input_and_a_single_step_run(rng):
    generator = ConditionalGenerator(
        2, 4, 1, hidden=3, basis=identity_basis(1), hidden_delay=0, rng=rng
    )
    noise = generator.noise(50, rng)
    labels = torch.arange(50) % 2
    assert 0 in generator.exogenous(labels, noise)["latent"].shape
    expected = generator.sample(labels, noise).spikes
    found = replay(generator, labels, noise)["readout"]
    assert torch.equal(found, expected.to(found))


@pytest.mark.usefixtures("double", "target")
def test_a_neuron_with_a_long_memory_has_the_same_spikes_in_brian(rng):
    basis = raised_cosine_basis(5, 30)
    neuron = StepResponseGenerator(1, 200, basis=basis, weight_std=0.2, bias_init=0.0, rng=rng)
    noise = neuron.noise(3, rng)
    spikes = neuron.sample(torch.zeros(3), noise).spikes
    assert 20 < spikes.sum() < 580
    assert torch.equal(replay(neuron, torch.zeros(3), noise)["readout"], spikes.float())


@pytest.mark.usefixtures("double", "target")
def test_a_convolutional_generator_has_the_same_spikes_in_brian(rng):
    generator = ConvolutionalGenerator(
        3,
        (2, 9, 9),
        8,
        maps=3,
        kernel_size=5,
        latent_bits=4,
        basis=exponential_basis(4, 2.0),
        rng=rng,
    )
    labels = torch.arange(3)
    noise = generator.noise(3, rng)
    found = replay(generator, labels, noise)
    for name, run in generator.sample(labels, noise).runs.items():
        assert run.spikes.sum() > 20
        assert torch.equal(found[name], run.spikes.to(found[name]))


LIVELY = {"bias_init": -1.0}
LAYERS = {
    "exponential": lambda: GLMLayer(5, 7, **LIVELY),
    "two exponentials": lambda: GLMLayer(
        5, 7, basis=exponential_basis(9, [1.0, 4.0]), delay=0, **LIVELY
    ),
    "raised cosines": lambda: GLMLayer(5, 7, basis=raised_cosine_basis(3, 8), delay=4, **LIVELY),
    "identity, delays": lambda: GLMLayer(
        5, 7, basis=identity_basis(3), delay=[0, 2, 1, 5, 0], **LIVELY
    ),
    "refractory": lambda: GLMLayer(5, 7, refractory=7, **LIVELY),
    "convolution": lambda: GLMConv2d(2, 3, 3, basis=raised_cosine_basis(2, 5), padding=1, **LIVELY),
    "groups": lambda: GLMConv2d(2, 4, 3, groups=2, padding=(0, 1), dilation=(1, 2), **LIVELY),
    "line": lambda: GLMConv1d(2, 3, 3, padding="same", **LIVELY),
    "coupling": lambda: GLMLayer(5, 7, coupling=True, **LIVELY),
    "coupling on a longer basis": lambda: GLMLayer(
        5, 7, coupling=masks.ring(7), coupling_basis=raised_cosine_basis(2, 9), **LIVELY
    ),
    "an order within the step": lambda: GLMLayer(
        5, 7, coupling=True, same_step=[3, 1, 0, 2, 6, 5, 4], counts=3, **LIVELY
    ),
    "levels of several neurons": lambda: GLMLayer(
        5, 7, same_step=masks.blocks([3, 4], between=True).triu(), **LIVELY
    ),
    "frames that hear each other": lambda: GLMConv2d(2, 3, 3, coupling_kernel=3, **LIVELY),
    "phases of frames": lambda: GLMConv2d(
        2, 2, 3, coupling_kernel=(3, 5), same_step="checkerboard", padding="same", **LIVELY
    ),
}


def excite(layer, rng):
    """A layer with feedback, an input, noise, and the spikes of both."""
    with torch.no_grad():
        for own in (layer.feedback, layer.coupling, layer.same_step, layer.count):
            if own is not None:
                own.normal_(0, 1, generator=rng)
    sizes = {1: (5,), 2: (2, 6), 3: (2, 5, 4)}[len(layer.input_axes)]
    inputs = (torch.rand(25, 3, *sizes, generator=rng) < 0.3).double()
    out = layer.sample(inputs, rng=rng).spikes.shape
    uniforms = torch.rand(out, generator=rng)
    return inputs, uniforms, layer.sample(inputs, uniforms=uniforms).spikes


@pytest.mark.usefixtures("double", "target")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_any_layer_has_the_same_spikes_in_brian(make, rng):
    layer = make()
    inputs, uniforms, expected = excite(layer, rng)
    found = BrianNetwork(layer, {"input": inputs}, {"layer": uniforms}).run()["layer"]
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(found, expected.float())


@pytest.mark.usefixtures("double", "target")
def test_one_step_of_delay_more_is_noticed(rng):
    """Negative control."""
    layer = GLMLayer(5, 7, **LIVELY, delay=1, rng=rng)
    inputs, uniforms, expected = excite(layer, rng)
    late = GLMLayer(5, 7, **LIVELY, delay=2)
    with torch.no_grad():
        for ours, theirs in zip(late.parameters(), layer.parameters(), strict=True):
            ours.copy_(theirs)
    found = BrianNetwork(late, {"input": inputs}, {"layer": uniforms}).run()["layer"]
    assert (found != expected).sum() > 10


@pytest.mark.usefixtures("double")
def test_brians_own_noise_is_repeatable_and_gives_the_same_rates(rng):
    layer = GLMLayer(5, 7, rng=rng, **LIVELY)
    inputs, _, _ = excite(layer, rng)
    many = inputs[:, :1].expand(-1, 400, -1)

    def free(seed):
        brian2.seed(seed)
        return BrianNetwork(layer, {"input": many}).run()["layer"]

    first = free(1)
    assert torch.equal(first, free(1))
    assert not torch.equal(first, free(2))
    ours = layer.sample(many, rng=rng).spikes
    # 175 means of 400 coin tosses each, twice: beyond 5 standard errors in 1 of 10,000 runs.
    error = (2 * 0.25 / 400) ** 0.5
    assert (first.mean(1) - ours.mean(1)).abs().max() < 5 * error


def test_dt_is_in_seconds(rng):
    layer = GLMLayer(5, 7, rng=rng, **LIVELY)
    network = BrianNetwork(layer, {"input": torch.ones(10, 1, 5)}, dt=5e-3)
    network.run()
    assert network.groups["layer"].dt == 5 * brian2.ms
    assert network.synapses["input to layer"].delay[:].max() == 30 * brian2.ms


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("target", TARGETS[:2])
def test_every_run_starts_afresh_on_noise_of_its_own(target, rng):
    layer = GLMLayer(5, 7, rng=rng, **LIVELY)
    inputs, uniforms, expected = excite(layer, rng)
    with use_target(target):
        replayed = BrianNetwork(layer, {"input": inputs}, {"layer": uniforms})
        voltage = brian2.StateMonitor(replayed.groups["layer"], "u", record=[0], when="layer_fires")
        replayed.network.add(voltage)
        free = BrianNetwork(layer, {"input": inputs})
        for _ in range(2):
            assert torch.equal(replayed.run()["layer"], expected.float())
            assert voltage.t[0] == 0
        first, second = (free.run()["layer"] for _ in range(2))
    assert 0.05 < second.mean() < 0.95
    # At these rates two draws of 525 neurons and steps are equal once in 1e20 runs.
    assert not torch.equal(first, second)


def test_objects_that_came_between_two_runs_are_refused(rng):
    network = BrianNetwork(GLMLayer(5, 7, rng=rng, **LIVELY), {"input": torch.ones(10, 1, 5)})
    network.run()
    network.network.add(brian2.SpikeMonitor(network.groups["layer"]))
    with pytest.raises(InputError, match="before the first run"):
        network.run()


@pytest.mark.slow
def test_a_standalone_program_runs_once(rng):
    with use_target("cpp_standalone"):
        network = BrianNetwork(GLMLayer(5, 7, rng=rng, **LIVELY), {"input": torch.ones(10, 1, 5)})
        network.run()
        with pytest.raises(InputError, match="use_target"):
            network.run()


@pytest.mark.usefixtures("double", "target")
@pytest.mark.parametrize(
    ("source", "hidden", "readout"),
    [
        ("a", "a_to_b", "b_to_c"),
        ("before_x", "class", "t"),
        ("x.y", "layer 1", "2"),
        ("rand", "mV", "_i"),
        ("é", "part_0", "drive"),
    ],
)
def test_names_that_brian_cannot_have_are_mapped(source, hidden, readout, rng):
    layers = {
        hidden: GLMLayer(5, 4, rng=rng, **LIVELY),
        readout: GLMLayer(9, 3, rng=rng, **LIVELY),
    }
    network = GLMNetwork({source: 5}, layers, {hidden: [source], readout: [source, hidden]})
    inputs = {source: (torch.rand(25, 3, 5, generator=rng) < 0.3).double()}
    uniforms = {name: torch.rand(25, 3, len(x.bias), generator=rng) for name, x in layers.items()}
    found = BrianNetwork(network, inputs, uniforms).run()
    for name, run in network.sample(inputs, uniforms).items():
        assert torch.equal(found[name], run.spikes.float())


def test_spikes_with_a_graph_are_inputs_too(rng):
    first, second = GLMLayer(3, 5, rng=rng, **LIVELY), GLMLayer(5, 7, rng=rng, **LIVELY)
    spikes, _ = first(torch.ones(10, 2, 3))
    assert spikes.requires_grad
    found = BrianNetwork(second, {"input": spikes}).run()["layer"]
    assert found.shape == (10, 2, 7)


def test_neurons_that_never_or_always_fire_do_so_in_brian():
    ones = {"input": torch.ones(10, 2, 5)}
    for bias, rate in ((-800.0, 0), (800.0, 1)):
        assert BrianNetwork(GLMLayer(5, 7, bias_init=bias), ones).run()["layer"].mean() == rate


def test_inexpressible_networks_are_refused():
    layer = GLMLayer(5, 7, **LIVELY)
    ones = torch.ones(10, 2, 5)
    with pytest.raises(InputError, match="zeros and ones"):
        BrianNetwork(layer, {"input": 0.5 * ones})
    with pytest.raises(InputError, match="spikes of"):
        BrianNetwork(layer, {"x": ones})
    with pytest.raises(InputError, match="input"):
        BrianNetwork(layer, {"input": torch.ones(10, 2, 6)})
    with pytest.raises(InputError, match="uniforms"):
        BrianNetwork(layer, {"input": ones}, {"layer": torch.rand(10, 2, 6)})
    for noise in (torch.full((10, 2, 7), torch.nan), torch.full((10, 2, 7), 2.0)):
        with pytest.raises(InputError, match="uniforms"):
            BrianNetwork(layer, {"input": ones}, {"layer": noise})
    broken = GLMLayer(5, 7, **LIVELY)
    broken.weight.data[0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="filter"):
        BrianNetwork(broken, {"input": ones})
    with pytest.raises(InputError, match="GLMNetwork"):
        BrianNetwork(torch.nn.Linear(5, 7), {"input": ones})
    with pytest.raises(InputError, match="dt"):
        BrianNetwork(layer, {"input": ones}, dt=0)
    with pytest.raises(InputError, match="sizes of an input"):
        GLMConv2d(2, 3, 3).filters()


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("raise AttributeError('no attribute ptp')", "AttributeError: no attribute ptp"),
        ("raise ImportError('numpy.core failed to import')", "numpy.core failed to import"),
        ("import numpy.nothing", "nothing"),
        ("raise RuntimeError", "RuntimeError"),
        ("(", "SyntaxError"),
        (None, "an environment without it"),
    ],
)
def test_a_brian2_that_is_missing_or_broken_is_named_with_the_cure(content, got, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "brian2")
    if content is None:
        monkeypatch.setattr(sys, "path", [])
    else:
        (tmp_path / "brian2.py").write_text(content)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"{got}.*pip install brian2"):
        require_brian2()
