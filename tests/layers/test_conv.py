import pytest
import torch
from torch.nn import functional as F

from snn_gan_ext import GLMConv2d, GLMConvTranspose2d, InputError
from snn_gan_ext.functional import bases, glm
from tests.functional import reference

LAYERS = [
    (GLMConv2d, {}),
    (GLMConv2d, {"stride": 2, "padding": 1}),
    (GLMConvTranspose2d, {}),
    (GLMConvTranspose2d, {"stride": 2, "padding": 1}),
]
IDS = ["conv", "strided", "transposed", "transposed, strided"]


def make(kind, options, rng, delay=1, basis=None, **more):
    layer = kind(
        2,
        3,
        (3, 2),
        basis=bases.raised_cosine_basis(2, 4) if basis is None else basis,
        delay=delay,
        bias_init=-0.5,
        rng=rng,
        **options,
        **more,
    )
    with torch.no_grad():
        layer.feedback.normal_(generator=rng)
    return layer.double()


def frames(rng, steps=6, batch=3):
    return (torch.rand(steps, batch, 2, 7, 6, generator=rng) < 0.4).double()


def dense_reference(layer, x, spikes):
    """u and log p by plain convolution of each lagged frame; feedback lag by lag."""
    u = []
    for t in range(len(spikes)):
        total = layer.bias.reshape(-1, 1, 1).expand(spikes.shape[1:])
        for lag in range(layer.basis.shape[1]):
            if t - layer.delay - lag >= 0:
                taps = torch.einsum("k,kiohw->iohw", layer.basis[:, lag], layer.weight)
                frame = x[t - layer.delay - lag]
                step = {"stride": layer.stride, "padding": layer.padding}
                if isinstance(layer, GLMConv2d):
                    total = total + F.conv2d(frame, taps.transpose(0, 1), **step)
                else:
                    total = total + F.conv_transpose2d(frame, taps, **step)
            if t - 1 - lag >= 0:
                taps = layer.feedback_basis[:, lag] @ layer.feedback
                total = total + taps.reshape(-1, 1, 1) * spikes[t - 1 - lag]
        u.append(total)
    u = torch.stack(u)
    return u, reference.log_likelihood(spikes.flatten(2), u.flatten(2))


@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_potentials_are_eq_2_and_gradients_eq_5(rng, kind, options, delay):
    layer, x = make(kind, options, rng, delay), frames(rng)
    run = layer.sample(x, rng=rng)
    u, log_p = dense_reference(layer, x, run.spikes)
    torch.testing.assert_close(run.potentials, u.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(run.log_likelihood, log_p.detach())
    assert 0.05 < run.spikes.mean() < 0.95
    expected = torch.autograd.grad(log_p.sum(), (layer.weight, layer.feedback, layer.bias))
    ours = layer.gradients(run, run.score)
    parts = layer.gradients(run, run.score, per_sample=True)
    for name, gradient in zip(("weight", "feedback", "bias"), expected, strict=True):
        torch.testing.assert_close(ours[name], gradient, rtol=0, atol=1e-10)
        torch.testing.assert_close(parts[name].sum(0), gradient, rtol=0, atol=1e-10)
        assert ours[name].is_contiguous()


@pytest.mark.parametrize(("kind", "options"), LAYERS, ids=IDS)
def test_three_ways_to_run_give_the_same_spikes(rng, kind, options):
    layer, x = make(kind, options, rng), frames(rng)
    uniforms = torch.rand(layer(x)[0].shape, generator=rng).double()
    whole, end = layer(x, uniforms=uniforms)
    state, steps = layer.reset_mem(), []
    for t in range(len(x)):
        spikes, state = layer(x[t], state, uniforms=uniforms[t])
        steps.append(spikes)
    assert torch.equal(torch.stack(steps), whole)
    for ours, theirs in zip(state, end, strict=True):
        torch.testing.assert_close(ours, theirs)
    layer.init_hidden = True
    hidden = [layer(x[t], uniforms=uniforms[t]) for t in range(len(x))]
    assert torch.equal(torch.stack(hidden), whole)


def test_transposed_layers_undo_the_sizes():
    down, up = GLMConv2d(2, 4, 4, stride=2, padding=1), GLMConvTranspose2d(4, 2, 4, stride=2, padding=1)
    x = torch.zeros(3, 1, 2, 34, 34)
    coarse, _ = down(x)
    assert coarse.shape == (3, 1, 4, 17, 17)
    assert up(coarse)[0].shape == x.shape


def test_feedback_comes_from_the_own_past_alone(rng):
    """Strong refractoriness: no neuron fires twice in a row, whatever its neighbours do."""
    layer = GLMConv2d(1, 2, 1, basis=bases.identity_basis(1), bias_init=2.0, feedback_init=-60.0)
    spikes, _ = layer(torch.zeros(20, 2, 1, 5, 5), rng=rng)
    assert (spikes[1:] * spikes[:-1]).sum() == 0
    assert spikes.mean() > 0.3


def test_feedback_gradients_are_shared_by_a_channel(rng):
    layer, x = make(GLMConv2d, {}, rng), frames(rng)
    run = layer.sample(x, rng=rng)
    by_neuron = glm.feedback_gradient(
        run.outputs.flatten(2), run.score.flatten(2), layer.feedback_basis
    )
    expected = by_neuron.reshape(2, 3, -1).sum(-1)
    torch.testing.assert_close(layer.gradients(run, run.score)["feedback"], expected)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: GLMConv2d(2, 3, 3)(torch.zeros(1, 1, 3, 5, 5)), "input.*2"),
        (lambda: GLMConv2d(2, 3, 3)(torch.zeros(2, 5)), "input"),
        (lambda: GLMConv2d(2, 3, 3)(torch.zeros(0, 1, 2, 5, 5)), "T >= 1"),
        (lambda: GLMConv2d(2, 3, 9)(torch.zeros(1, 2, 5, 5)), "kernel"),
        (lambda: GLMConv2d(0, 3, 3), "in_channels"),
        (lambda: GLMConv2d(2, 3, 0), "kernel_size"),
        (lambda: GLMConv2d(2, 3, 3, stride=0), "stride"),
        (lambda: GLMConv2d(2, 3, 3, padding=-1), "padding"),
        (lambda: GLMConvTranspose2d(2, 3, 3, delay=-1), "delay"),
        (
            lambda: GLMConv2d(2, 3, 3)(torch.zeros(1, 2, 5, 5), uniforms=torch.rand(1, 3, 5, 5)),
            "uniforms",
        ),
    ],
)
def test_wrong_input_is_named(call, names):
    with pytest.raises(InputError, match=names):
        call()
