import functools

import matplotlib as mpl
import pytest
import snntorch as snn
import snntorch.utils
import torch
from snntorch import functional as SF
from snntorch import spikeplot
from snntorch.functional import probe
from torch import nn

import snn_gan_ext


def test_the_layers_are_snntorchs_after_the_import():
    assert snn.GLMLayer is snn_gan_ext.GLMLayer
    assert snn.GLMConv2d is snn_gan_ext.GLMConv2d


def test_reset_reaches_nested_layers_of_one_net_and_snntorchs_own():
    inner, other = snn.GLMLayer(4, 3, init_hidden=True), snn.GLMLayer(4, 3, init_hidden=True)
    leaky = snn.Leaky(beta=0.9, init_hidden=True)
    net = nn.Sequential(leaky, nn.Sequential(nn.Identity(), nn.ModuleDict({"a": inner})["a"]))
    net(torch.ones(2, 4))
    other(torch.ones(2, 4))
    assert inner._state is not None
    assert leaky.mem.any()
    snntorch.utils.reset(net)
    assert inner._state is None
    assert not leaky.mem.any()
    assert other._state is not None


def test_registering_twice_is_harmless_and_unregister_undoes_it():
    wrapped = snntorch.utils.reset
    snn_gan_ext.register()
    assert snntorch.utils.reset is wrapped
    try:
        snn_gan_ext.unregister()
        assert not hasattr(snn, "GLMLayer")
        assert not hasattr(snn, "GLMConv2d")
        assert snntorch.utils.reset is wrapped.__wrapped__
        snn_gan_ext.unregister()
    finally:
        snn_gan_ext.register()
    assert snn.GLMLayer is snn_gan_ext.GLMLayer


def test_reset_mem_can_start_an_explicit_state():
    layer = snn.GLMLayer(4, 3)
    state = layer.reset_mem()
    spikes, state = layer(torch.ones(2, 4), state)
    assert spikes.shape == (2, 3)


@pytest.fixture
def records(rng):
    """A layer of three neurons, its spikes and its potentials ``[10, 4, 3]``, with their graph."""
    layer, state, spikes, potentials = snn.GLMLayer(6, 3, bias_init=0.0), None, [], []
    for _ in range(10):
        uniforms = torch.rand(4, 3, generator=rng)
        s, state = layer(torch.rand(4, 6, generator=rng), state, uniforms=uniforms)
        spikes.append(s)
        potentials.append(state.mem)
    return layer, torch.stack(spikes), torch.stack(potentials)


TARGETS = torch.tensor([0, 1, 2, 0])
LOSSES = {
    "ce_rate": lambda spikes, _: SF.ce_rate_loss()(spikes, TARGETS),
    "ce_count": lambda spikes, _: SF.ce_count_loss()(spikes, TARGETS),
    "mse_count": lambda spikes, _: SF.mse_count_loss(0.8, 0.2)(spikes, TARGETS),
    "ce_max_membrane": lambda _, potentials: SF.ce_max_membrane_loss()(potentials, TARGETS),
    "l1_rate_sparsity": lambda spikes, _: SF.reg.l1_rate_sparsity(1e-3)(spikes),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_snntorchs_losses_and_penalties_train_the_layer(loss, records):
    layer, spikes, potentials = records
    loss(spikes, potentials).backward()
    assert layer.weight.grad.isfinite().all()
    assert layer.weight.grad.any()


def test_snntorchs_accuracy_is_that_of_the_neuron_that_spikes_most(records):
    spikes = records[1]
    most = spikes.sum(0).argmax(1)
    assert SF.accuracy_rate(spikes, most) == 1
    assert SF.accuracy_rate(spikes, (most + 1) % 3) == 0


def test_snntorchs_raster_shows_every_spike(records):
    train = records[1][:, 0].detach()
    axes = mpl.figure.Figure().subplots()
    spikeplot.raster(train, axes)
    shown = axes.collections[0].get_offsets()
    assert sorted(map(tuple, shown.tolist())) == sorted(map(tuple, train.nonzero().tolist()))
    assert 0 < len(shown) < train.numel()


def test_snntorchs_monitor_of_outputs_records_our_spikes():
    inner = snn.GLMLayer(4, 3, bias_init=0.0, init_hidden=True)
    net = nn.Sequential(nn.Linear(4, 4), inner, nn.Linear(3, 2))
    monitor = probe.OutputMonitor(net, snn.GLMLayer)
    outputs = [net(torch.rand(5, 4)) for _ in range(6)]
    assert monitor.monitored_layers == ["1"]
    assert len(monitor["1"]) == 6
    for spikes, output in zip(monitor["1"], outputs, strict=True):
        assert torch.equal(net[2](spikes), output)
    assert set(torch.stack(monitor["1"]).unique().tolist()) == {0.0, 1.0}


def test_unregister_restores_earlier_names_and_keeps_wrappers_of_others():
    snn_gan_ext.unregister()
    theirs = object()
    snn.GLMLayer = theirs
    try:
        snn_gan_ext.register()
        assert snn.GLMLayer is snn_gan_ext.GLMLayer
        ours = snntorch.utils.reset

        @functools.wraps(ours)
        def someone_elses(net):
            return ours(net)

        snntorch.utils.reset = someone_elses
        snn_gan_ext.unregister()
        assert snn.GLMLayer is theirs
        assert snntorch.utils.reset is someone_elses
        snntorch.utils.reset = ours
        snn_gan_ext.unregister()
        assert snntorch.utils.reset is ours.__wrapped__
    finally:
        del snn.GLMLayer
        snn_gan_ext.register()
