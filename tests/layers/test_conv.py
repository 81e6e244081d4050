import pytest
import torch
from torch.nn import functional as F

from snn_gan_ext import GLMConv1d, GLMConv2d, GLMConvTranspose2d, InputError
from snn_gan_ext.functional import bases, glm
from tests.functional import reference

CONVOLUTIONS = {
    GLMConv1d: F.conv1d,
    GLMConv2d: F.conv2d,
    GLMConvTranspose2d: lambda x, w, **sizes: F.conv_transpose2d(x, w.transpose(0, 1), **sizes),
}
PAIRS = {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2), "groups": 2}
LAYERS = {
    "conv": (GLMConv2d, {}),
    "strided": (GLMConv2d, {"stride": 2, "padding": 1}),
    "pairs": (GLMConv2d, PAIRS),
    "same": (GLMConv2d, {"kernel_size": (3, 5), "padding": "same", "dilation": (2, 1)}),
    "pooled": (GLMConv2d, {"pool": (2, 3), "padding": 1}),
    "transposed": (GLMConvTranspose2d, {}),
    "transposed, strided": (GLMConvTranspose2d, {"stride": 2, "padding": 1}),
    "transposed, pairs": (GLMConvTranspose2d, PAIRS),
    "line": (GLMConv1d, {"kernel_size": 3}),
    "line, all": (
        GLMConv1d,
        {"kernel_size": 4, "stride": 2, "padding": 1, "dilation": 2, "groups": 2},
    ),
    "line, pooled": (GLMConv1d, {"kernel_size": 3, "pool": 2}),
}
each_layer = pytest.mark.parametrize(("kind", "options"), LAYERS.values(), ids=LAYERS)


def make(kind, options, rng, delay=1):
    basis = bases.raised_cosine_basis(2, 4)
    options = {"kernel_size": (3, 2), **options}
    layer = kind(4, 6, basis=basis, delay=delay, weight_std=0.5, bias_init=-0.5, rng=rng, **options)
    with torch.no_grad():
        layer.feedback.normal_(generator=rng)
    return layer.double()


def frames(kind, rng, steps=6, batch=3):
    places = (9,) if kind is GLMConv1d else (7, 6)
    return (torch.rand(steps, batch, 4, *places, generator=rng) < 0.4).double()


def drive_reference(layer, frame, lag):
    """Plain convolution of one lagged frame, group by group."""
    taps = torch.einsum("k,kio...->oi...", layer.basis[:, lag], layer.weight)
    sizes = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    pairs = zip(frame.chunk(layer.groups, 1), taps.chunk(layer.groups), strict=True)
    drive = torch.cat([CONVOLUTIONS[type(layer)](x, w, **sizes) for x, w in pairs], 1)
    pool = F.avg_pool1d if drive.dim() == 3 else F.avg_pool2d
    return pool(drive, layer.pool)


def dense_reference(layer, x, spikes):
    """u and log p from lagged frames, and from feedback lag by lag."""
    u, by_channel = [], (-1, *[1] * (spikes.dim() - 3))
    for t in range(len(spikes)):
        total = layer.bias.reshape(by_channel).expand(spikes.shape[1:])
        for lag in range(layer.basis.shape[1]):
            if t - layer.delay - lag >= 0:
                total = total + drive_reference(layer, x[t - layer.delay - lag], lag)
            if t - 1 - lag >= 0:
                taps = layer.feedback_basis[:, lag] @ layer.feedback
                total = total + taps.reshape(by_channel) * spikes[t - 1 - lag]
        u.append(total)
    u = torch.stack(u)
    return u, reference.log_likelihood(spikes.flatten(2), u.flatten(2))


@each_layer
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_potentials_are_eq_2_and_gradients_eq_5(rng, kind, options, delay):
    layer, x = make(kind, options, rng, delay), frames(kind, rng)
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


@each_layer
def test_three_ways_to_run_give_the_same_spikes(rng, kind, options):
    layer, x = make(kind, options, rng), frames(kind, rng)
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


def test_transposed_layers_have_no_pools():
    with pytest.raises(InputError, match="pool: expected 1 in a transposed layer"):
        GLMConvTranspose2d(2, 3, 3, pool=2)
    with pytest.raises(InputError, match="large enough"):
        GLMConv2d(2, 3, 3, pool=4)(torch.zeros(2, 1, 2, 5, 5))


def test_taps_of_a_dilated_line_by_hand():
    layer = GLMConv1d(1, 1, 3, padding="same", dilation=2, delay=0, basis=bases.identity_basis(1))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0]).expand_as(layer.weight))
        layer.bias.zero_()
    x = torch.zeros(1, 1, 1, 9)
    x[..., 4] = 1
    assert layer.sample(x).potentials.flatten().tolist() == [0, 0, 3, 0, 2, 0, 1, 0, 0]
    assert layer.filters((1, 9)).synaptic[0, 0, 4].flatten().tolist() == [0, 0, 3, 0, 2, 0, 1, 0, 0]


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_groups_of_channels_do_not_hear_each_other(kind):
    layer, places = kind(4, 6, 1, groups=2), (3,) if kind is GLMConv1d else (3, 3)
    x = torch.zeros(8, 1, 4, *places)
    heard = layer.drive(torch.cat([x[:, :, :2], x[:, :, 2:] + 1], 2)).flatten(3).abs().sum((0, 1, 3))
    assert (heard > 0).tolist() == [False] * 3 + [True] * 3


def test_feedback_comes_from_the_own_past_alone(rng):
    """Strong refractoriness: no neuron fires twice in a row, whatever its neighbours do."""
    layer = GLMConv2d(1, 2, 1, basis=bases.identity_basis(1), bias_init=2.0, feedback_init=-60.0)
    spikes, _ = layer(torch.zeros(20, 2, 1, 5, 5), rng=rng)
    assert (spikes[1:] * spikes[:-1]).sum() == 0
    assert spikes.mean() > 0.3


def test_feedback_gradients_are_shared_by_a_channel(rng):
    layer, x = make(GLMConv2d, {}, rng), frames(GLMConv2d, rng)
    run = layer.sample(x, rng=rng)
    by_neuron = glm.feedback_gradient(
        run.outputs.flatten(2), run.score.flatten(2), layer.feedback_basis
    )
    expected = by_neuron.reshape(2, 6, -1).sum(-1)
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
        (lambda: GLMConv2d(2, 3, (3, 3, 3)), "kernel_size: expected one number, or 2"),
        (lambda: GLMConv1d(2, 3, 3, stride=(1, 1)), "stride: expected one number, or 1"),
        (lambda: GLMConv2d(2, 3, 3, dilation=0), "dilation"),
        (lambda: GLMConv2d(2, 3, 3, padding="valid"), "padding"),
        (lambda: GLMConv2d(2, 3, 4, padding="same"), r"'same': expected an odd .* give the padding"),
        (lambda: GLMConv2d(2, 3, 3, padding="same", stride=2), "'same': expected .* stride 1"),
        (lambda: GLMConv2d(2, 3, 3, groups=2), "groups: expected a divisor .* out_channels=3"),
        (lambda: GLMConv1d(2, 3, 3)(torch.zeros(1, 2, 5, 5, 5)), r"input: expected \[B, 2, any\]"),
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
