"""What PyTorch and snnTorch let users do with a layer: honoured, or refused with the cure."""

import copy
import importlib
import warnings

import pytest
import snntorch as snn
import snntorch.utils
import torch
from snntorch import functional as SF
from snntorch.functional import probe
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, parametrize, prune

import snn_gan_ext
from snn_gan_ext import GLMConv2d, GLMLayer, InputError, TTFSLinear
from snn_gan_ext.layers.state import GLMState
from snn_gan_ext.networks.ttfs import TTFSClassifier

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from snntorch import backprop

CHANGES = {
    "pruned": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "parametrised bias": lambda layer: parametrize.register_parametrization(
        layer, "bias", nn.Softplus()
    ),
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
LAYERS = {
    "dense": (lambda **o: GLMLayer(3, 2, **o), (3,)),
    "conv": (lambda **o: GLMConv2d(3, 2, 2, **o), (3, 4, 4)),
}
each_layer = pytest.mark.parametrize(("make", "inputs"), LAYERS.values(), ids=LAYERS)


@each_change
@each_layer
def test_a_parameter_made_of_others_learns_by_autograd_alone(change, make, inputs):
    layer, x = make(), torch.ones(5, 4, *inputs)
    run = layer.sample(x)
    change(layer)
    for refused in (lambda: layer.gradients(run, run.score), layer.reset_parameters):
        with pytest.raises(InputError, match=r"a parameter of the layer, .* train with autograd"):
            refused()
    layer(x)[0].sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    assert len(list(copy.deepcopy(layer).parameters())) == len(list(layer.parameters()))


def test_a_pruned_layer_is_not_run_on_weights_from_before_the_last_step():
    layer = GLMLayer(3, 2)
    CHANGES["pruned"](layer)
    for run in (
        layer.sample,
        lambda x: layer.observe(x, torch.zeros(5, 4, 2)),
        lambda x: layer.filters(),
    ):
        with pytest.raises(InputError, match=r"prune\.remove"):
            run(torch.ones(5, 4, 3))
    prune.remove(layer, "weight")
    assert layer.sample(torch.ones(5, 4, 3)).spikes.shape == (5, 4, 2)


def test_homeostasis_refuses_weights_made_of_others():
    net = TTFSClassifier(3, 2, 5, hidden=4)
    assert len(net.weights()) == 2
    assert isinstance(net.layers[0], TTFSLinear)
    parametrizations.weight_norm(net.layers[0])
    with pytest.raises(InputError, match="weights: expected parameters"):
        net.weights()


@each_layer
def test_one_step_alone_warns_that_no_input_was_heard(make, inputs):
    recording = torch.ones(50, *inputs)
    with pytest.warns(UserWarning, match="add the batch axis") as said:
        make()(recording)
    assert said[0].filename == __file__
    make()(recording.unsqueeze(1))
    make()(recording, None)
    make(init_hidden=True)(recording)
    make(delay=0)(recording)


@each_layer
def test_a_uniform_of_0_counts_as_less_than_the_next_one(make, inputs):
    layer = make(bias_init=-40.0)
    run = layer.sample(torch.zeros(3, 2, *inputs))
    zeros = torch.zeros_like(run.spikes)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert not layer.sample(torch.zeros(3, 2, *inputs), uniforms=zeros.to(dtype)).spikes.any()
    assert not layer(torch.zeros(3, 2, *inputs), uniforms=zeros)[0].any()
    assert make(bias_init=-15.0).sample(torch.zeros(3, 2, *inputs), uniforms=zeros).spikes.all()
    assert layer.observe(torch.zeros(3, 2, *inputs), 1 - zeros).spikes.all()


def test_a_graph_that_was_used_is_refused_with_the_cure():
    net = nn.Sequential(nn.Linear(3, 4), GLMLayer(4, 2, init_hidden=True))
    x = torch.ones(2, 3)
    net(x).sum().backward()
    with pytest.raises(InputError, match=r"reset\(net\) before each batch, or detach_hidden"):
        net(x).sum().backward()
    for renew in (lambda: snntorch.utils.reset(net), net[1].detach_hidden):
        renew()
        net(x).sum().backward(retain_graph=True)
        net(x).sum().backward()


def test_derivatives_of_every_kind_pass_the_state():
    layer, x = GLMLayer(3, 2).double(), torch.rand(5, 4, 3).double()
    uniforms, weight = torch.rand(5, 4, 2).double(), layer.weight.detach()

    def count(weight):
        return functional_call(layer, {"weight": weight}, (x,), {"uniforms": uniforms})[0].sum()

    (expected,) = torch.autograd.grad(count(layer.weight), layer.weight)
    torch.testing.assert_close(grad(count)(weight), expected)
    torch.testing.assert_close(vmap(grad(count))(weight[None]), expected[None])
    torch.testing.assert_close(jvp(count, (weight,), (expected,))[1], expected.square().sum())


def test_tensors_of_inference_mode_can_be_trained_on():
    layer = GLMLayer(3, 2, init_hidden=True)
    with torch.inference_mode():
        x, uniforms = torch.rand(5, 4, 3), torch.rand(5, 4, 2)
        layer(x, uniforms=uniforms)
    layer(x, uniforms=uniforms).sum().backward()
    assert layer.weight.grad.any()


def test_a_replica_would_lose_its_hidden_state():
    layer = GLMLayer(3, 2, init_hidden=True)
    with pytest.raises(InputError, match="take DistributedDataParallel"):
        layer._replicate_for_data_parallel()(torch.ones(2, 3))


def test_states_stack_as_potentials_do():
    layer, x, states, state = GLMLayer(3, 2), torch.ones(4, 3), [], None
    for _ in range(3):
        _, state = layer(x, state)
        states.append(state)
    assert isinstance(states[0], GLMState)
    assert torch.equal(torch.stack(states), torch.stack([state.mem for state in states]))
    assert torch.equal(torch.stack(tuple(states)), torch.stack(states))


@each_layer
def test_snntorchs_probes_see_the_last_step(make, inputs):
    layer = make(init_hidden=True)
    net, x = nn.Sequential(layer), torch.rand(3, 4, *inputs)
    monitors = [probe.AttributeMonitor(name, False, net, type(layer)) for name in ("mem", "spk")]
    assert layer.mem.numel() == layer.spk.numel() == 0
    outputs = [net(step) for step in x]
    mem, spk = (monitor["0"] for monitor in monitors)
    assert torch.equal(torch.stack(spk), torch.stack(outputs))
    run = layer.observe(x, torch.stack(spk).detach())
    torch.testing.assert_close(torch.stack(mem).detach(), run.potentials)
    layer.init_glm()
    assert layer.mem.numel() == 0


def epoch(rule, net, **options):
    data = torch.utils.data.DataLoader([(torch.ones(3), 0)] * 8, batch_size=4)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    return rule(net, data, optimizer, num_steps=6, time_var=False, **options)


def middle():
    leaky = snn.Leaky(beta=0.9, init_hidden=True, output=True)
    return nn.Sequential(GLMLayer(3, 5, init_hidden=True), nn.Linear(5, 2), leaky)


def last(**options):
    return nn.Sequential(nn.Linear(3, 4), GLMLayer(4, 2, init_hidden=True, **options))


@pytest.mark.parametrize("loss", [SF.ce_rate_loss, SF.ce_max_membrane_loss])
@pytest.mark.parametrize("make", [middle, lambda: last(output=True)], ids=["middle", "last"])
def test_snntorchs_backpropagation_trains_the_layers(make, loss):
    net = make()
    before = [p.clone() for p in net.parameters()]
    assert epoch(backprop.BPTT, net, criterion=loss()).isfinite()
    assert any(not torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("rule", "make", "words"),
    [
        (backprop.BPTT, last, "output=True"),
        (backprop.RTRL, middle, "detach_hidden"),
        (backprop.TBPTT, lambda: last(output=True), "detach_hidden"),
    ],
)
def test_other_uses_of_snntorchs_backpropagation_are_refused(rule, make, words):
    with pytest.raises(InputError, match=words):
        epoch(rule, make(), criterion=SF.ce_rate_loss())


def test_registration_follows_a_reload_of_snntorch():
    layer = GLMLayer(3, 2, init_hidden=True)
    try:
        importlib.reload(snntorch.utils)
        snn_gan_ext.register()
        layer(torch.ones(2, 3))
        snntorch.utils.reset(layer)
        assert layer._state is None
    finally:
        snn_gan_ext.register()
