import functools

import snntorch as snn
import snntorch.utils
import torch
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


def test_snntorch_functions_accept_our_records(rng):
    """Losses, accuracies and plots take our spikes and potentials as they take those of Leaky."""
    import matplotlib as mpl
    from snntorch import functional as SF
    from snntorch import spikeplot

    layer, targets = snn.GLMLayer(6, 3), torch.tensor([0, 1, 2, 0])
    state, spikes, potentials = None, [], []
    for _ in range(10):
        s, state = layer(torch.rand(4, 6, generator=rng), state)
        spikes.append(s)
        potentials.append(state.mem)
    spikes, potentials = torch.stack(spikes), torch.stack(potentials)
    for loss in (SF.ce_rate_loss(), SF.ce_count_loss(), SF.mse_count_loss()):
        assert loss(spikes, targets).isfinite()
    assert SF.ce_max_membrane_loss()(potentials, targets).isfinite()
    assert 0 <= SF.accuracy_rate(spikes, targets) <= 1
    figure = mpl.figure.Figure()
    spikeplot.raster(spikes[:, 0].detach(), figure.subplots())


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
