"""Networks in which layers hear later ones, a step later."""

import pytest
import torch

from snn_gan_ext import GLMConv2d, GLMLayer, InputError
from snn_gan_ext.functional.bases import exponential_basis, identity_basis
from snn_gan_ext.networks.ensembles import Ensemble
from snn_gan_ext.networks.glm import GLMNetwork
from snn_gan_ext.networks.population import PopulationGenerator

pytestmark = pytest.mark.usefixtures("double")

BASIS = exponential_basis(3, 2.0)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def frames(rng):
    """A map of hidden neurons that hears the past read-out frames, which hear it at once."""
    lively = {"bias_init": -1.0, "weight_std": 0.5, "padding": "same", "basis": BASIS, "rng": rng}
    hidden = GLMConv2d(1, 2, 3, delay=0, **lively)
    readout = GLMConv2d(3, 1, 3, delay=0, coupling_kernel=3, **lively)
    readout.coupling.data.normal_(0, 0.5, generator=rng)
    wiring = {"hidden": ["readout"], "readout": ["x", "hidden"]}
    return GLMNetwork(
        {"x": 20},
        {"hidden": hidden, "readout": readout},
        wiring,
        {"x": (1, 4, 5), "readout": (1, 4, 5)},
    )


def loop(rng):
    """Two layers that hear each other and themselves."""
    options = {"basis": BASIS, "bias_init": -1.0, "weight_std": 0.7, "rng": rng}
    a = GLMLayer(2 + 3 + 4, 3, delay=0, **options)
    b = GLMLayer(3, 4, delay=1, **options)
    return GLMNetwork({"x": 2}, {"a": a, "b": b}, {"a": ["x", "a", "b"], "b": ["a"]})


each = pytest.mark.parametrize("make", [frames, loop])


def drawn(network, rng, steps=9, batch=3):
    x = (torch.rand(steps, batch, *network.sizes["x"], generator=rng) < 0.4).double()
    uniforms = {
        name: torch.rand(steps, batch, *network.sizes[name], generator=rng) for name in network.layers
    }
    return {"x": x}, uniforms


@each
def test_a_later_layer_is_heard_one_step_later(make, rng):
    network = make(rng)
    x, uniforms = drawn(network, rng)
    runs = network.sample(x, uniforms)
    for name, layer in network.glm_layers():
        parts = []
        for source in network.wiring[name]:
            spikes = x[source] if source in x else runs[source].spikes
            if source in network.later[name]:
                spikes = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]])
            parts.append(spikes.reshape(9, 3, *network.input_size(name, source)))
        alone = layer.sample(torch.cat(parts, 2), uniforms=uniforms[name])
        assert torch.equal(alone.spikes, runs[name].spikes)
        assert 0.05 < alone.spikes.mean() < 0.95
        torch.testing.assert_close(alone.potentials, runs[name].potentials)


@each
def test_a_cut_changes_nothing(make, rng):
    network = make(rng)
    x, uniforms = drawn(network, rng)
    whole, states, found = network.sample(x, uniforms), None, []
    for now in (slice(0, 4), slice(4, 5), slice(5, 9)):
        noise = {name: u[now] for name, u in uniforms.items()}
        runs = network.sample({"x": x["x"][now]}, noise, states=states)
        states = {name: run.state for name, run in runs.items()}
        found.append(runs)
    for name, run in whole.items():
        assert torch.equal(torch.cat([runs[name].spikes for runs in found]), run.spikes)


@each
def test_clamped_layers_give_the_potentials_of_drawn_ones(make, rng):
    network = make(rng)
    x, uniforms = drawn(network, rng)
    runs = network.sample(x, uniforms)
    last = list(network.layers)[-1]
    clamped = network.sample(x, uniforms, {last: runs[last].spikes})
    for name, run in runs.items():
        assert torch.equal(clamped[name].spikes, run.spikes)
        torch.testing.assert_close(clamped[name].potentials, run.potentials)


@each
def test_brian_has_the_same_spikes(make, rng):
    pytest.importorskip("brian2", reason="brian2 is not installed").prefs.codegen.target = "numpy"
    from snn_gan_ext.brian.network import BrianNetwork

    network = make(rng)
    x, uniforms = drawn(network, rng)
    found = BrianNetwork(network, x, uniforms).run()
    for name, run in network.sample(x, uniforms).items():
        assert torch.equal(found[name], run.spikes.float())


def test_members_of_an_ensemble_run_as_they_do_alone(rng):
    options = {"hidden": 3, "latent_bits": 2, "basis": BASIS, "coupling_std": 0.5, "rng": rng}
    members = [PopulationGenerator(2, 4, 6, same_step="triangular", **options) for _ in range(3)]
    labels = torch.arange(12) % 2
    ensemble = Ensemble(members)
    noise = ensemble.noise(12, rng)
    together = ensemble.sample(labels, noise).spikes.chunk(3, 1)
    for j, member in enumerate(members):
        own = {name: x[j] for name, x in noise.items()}
        assert torch.equal(member.sample(labels[:4], own).spikes, together[j])


def test_the_frame_of_a_layer_that_is_heard_earlier_must_be_known(rng):
    layers = {
        "a": GLMConv2d(1, 1, 3, basis=identity_basis(2)),
        "b": GLMConv2d(1, 1, 3, basis=identity_basis(2)),
    }
    wiring = {"a": ["b"], "b": ["a"]}
    with pytest.raises(InputError, match=r"maps\['b'\]: expected the frame .* with maps="):
        GLMNetwork({}, layers, wiring)
    with pytest.raises(InputError, match=r"maps\['b'\]: expected \(1, 1, 1\)"):
        GLMNetwork({}, layers, wiring, {"b": (1, 5, 5)})
