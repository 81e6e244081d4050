"""Backpropagation through time with snnTorch's surrogate gradients."""

import pytest
import snntorch as snn
import snntorch.functional as SF
import torch
from snntorch import spikegen, surrogate, utils
from torch import nn

from snn_gan_ext import GLMConv2d, GLMLayer
from snn_gan_ext.functional import bases


@pytest.mark.parametrize("spike_grad", [None, surrogate.atan(), surrogate.fast_sigmoid()])
def test_spikes_are_the_same_with_and_without_a_graph(rng, spike_grad):
    layer = GLMLayer(5, 4, spike_grad=spike_grad, bias_init=-1.0, feedback_init=1.0, rng=rng).double()
    x = torch.rand(12, 3, 5, generator=rng).double()
    uniforms = torch.rand(12, 3, 4, generator=rng).double()
    with_graph, _ = layer(x, uniforms=uniforms)
    with torch.no_grad():
        without, _ = layer(x, uniforms=uniforms)
    assert with_graph.requires_grad
    assert torch.equal(with_graph, without)
    assert set(with_graph.unique().tolist()) == {0.0, 1.0}


def test_one_step_by_hand(rng):
    """The slope is p (1 - p), or a surrogate's at the potential minus the log-odds of the uniform."""
    x, uniforms = torch.rand(2, 3, generator=rng), torch.rand(2, 4, generator=rng)
    for spike_grad in (None, surrogate.atan(alpha=2.0)):
        layer = GLMLayer(3, 4, basis=bases.identity_basis(1), delay=0, spike_grad=spike_grad)
        spikes, state = layer(x, uniforms=uniforms)
        spikes.sum().backward()
        u = state.mem.detach().requires_grad_()
        if spike_grad is None:
            slope = torch.sigmoid(u) * (1 - torch.sigmoid(u))
        else:
            (slope,) = torch.autograd.grad(spike_grad(u - torch.logit(uniforms)).sum(), u)
        torch.testing.assert_close(layer.bias.grad, slope.sum(0).detach())
        torch.testing.assert_close(layer.weight.grad[0], (x.T @ slope).detach())


def test_gradients_by_the_step_and_over_the_sequence_agree(rng):
    layer = GLMLayer(5, 4, feedback_init=0.5).double()
    x = torch.rand(8, 3, 5, generator=rng).double()
    uniforms = torch.rand(8, 3, 4, generator=rng).double()
    target = torch.rand(8, 3, 4, generator=rng).double()
    whole, _ = layer(x, uniforms=uniforms)
    expected = torch.autograd.grad((whole * target).sum(), list(layer.parameters()))
    state, steps = None, []
    for t in range(8):
        spikes, state = layer(x[t], state, uniforms=uniforms[t])
        steps.append(spikes)
    ours = torch.autograd.grad((torch.stack(steps) * target).sum(), list(layer.parameters()))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_a_supervised_model_learns_beside_leaky_with_snntorchs_own_tools():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(8, 16),
        snn.Leaky(beta=0.8, init_hidden=True),
        GLMLayer(16, 2, init_hidden=True),
    )
    images = torch.cat([torch.rand(40, 4), torch.zeros(40, 4)], 1)
    labels = torch.arange(40) % 2
    images = torch.where(labels[:, None] == 1, images.flip(1), images)
    loss_fn = SF.ce_count_loss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        utils.reset(net)
        spikes = torch.stack([net(x) for x in spikegen.rate(images, num_steps=10)])
        loss = loss_fn(spikes, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert SF.accuracy_rate(spikes, labels) > 0.9


def test_convolutional_layers_pass_gradients_down(rng):
    below = nn.Conv2d(1, 2, 3, padding=1)
    layer = GLMConv2d(2, 3, 3, init_hidden=True)
    for _ in range(3):
        spikes = layer(below(torch.rand(4, 1, 6, 6, generator=rng)))
    spikes.sum().backward()
    assert below.weight.grad.abs().sum() > 0
    assert layer.feedback.grad.abs().sum() > 0
    layer.detach_hidden()
    layer(below(torch.rand(4, 1, 6, 6, generator=rng))).sum().backward()
