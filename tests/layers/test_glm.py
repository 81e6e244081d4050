import copy

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snn_gan_ext import GLMLayer, InputError
from snn_gan_ext.functional import bases
from tests.functional import reference

BASES = {
    "exponential": lambda: bases.exponential_basis(6, 2.0),
    "raised cosine": lambda: bases.raised_cosine_basis(2, 5),
    "identity": lambda: bases.identity_basis(3),
    "one tap": lambda: bases.identity_basis(1),
}


def make(rng, basis, delay, in_features=5, out_features=4, **options):
    layer = GLMLayer(in_features, out_features, basis=basis, delay=delay, rng=rng, **options)
    with torch.no_grad():
        layer.feedback.normal_(generator=rng)
    return layer.double()


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
@pytest.mark.parametrize("delay", [0, 1, 2, [0, 0, 1, 1, 3]], ids=str)
def test_three_ways_to_run_give_the_same_spikes(rng, basis, delay):
    layer = make(rng, basis(), delay)
    x = (torch.rand(12, 3, 5, generator=rng) < 0.5).double()
    uniforms = torch.rand(12, 3, 4, generator=rng).double()

    whole, end = layer(x, uniforms=uniforms)

    state, stepwise = None, []
    for t in range(12):
        spikes, state = layer(x[t], state, uniforms=uniforms[t])
        stepwise.append(spikes)
    assert torch.equal(torch.stack(stepwise), whole)
    for ours, theirs in zip(state, end, strict=True):
        torch.testing.assert_close(ours, theirs)

    first, state = layer(x[:5], uniforms=uniforms[:5])
    second, _ = layer(x[5:], state, uniforms=uniforms[5:])
    assert torch.equal(torch.cat([first, second]), whole)

    hidden = copy.deepcopy(layer)
    hidden.init_hidden = True
    assert torch.equal(torch.stack([hidden(x[t], uniforms=uniforms[t]) for t in range(12)]), whole)
    hidden.reset_mem()
    assert torch.equal(hidden(x, uniforms=uniforms), whole)
    assert 0 < whole.mean() < 1


def test_hidden_state_lives_in_sequential_between_snntorch_layers():
    torch.manual_seed(0)
    glm = GLMLayer(6, 4, init_hidden=True)
    net = nn.Sequential(
        nn.Linear(3, 6),
        snn.Leaky(beta=0.9, init_hidden=True),
        glm,
        nn.Linear(4, 2),
        snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )
    for _ in range(10):
        spikes, mem = net(torch.rand(7, 3))
    assert spikes.shape == mem.shape == (7, 2)
    with pytest.raises(InputError, match="reset_mem"):
        glm(torch.rand(2, 6))
    glm.reset_mem()
    assert glm(torch.rand(2, 6)).shape == (2, 4)


def test_return_types_follow_snntorch():
    x = torch.ones(2, 3)
    spikes, state = GLMLayer(3, 4)(x, None)
    assert spikes.shape == state.mem.shape == (2, 4)
    assert GLMLayer(3, 4, init_hidden=True)(x).shape == (2, 4)
    spikes, state = GLMLayer(3, 4, init_hidden=True, output=True)(x)
    assert spikes.shape == state.mem.shape == (2, 4)


def test_the_global_seed_and_a_generator_determine_the_spikes():
    layer, x = GLMLayer(3, 4), torch.ones(20, 5, 3)
    torch.manual_seed(7)
    first, _ = layer(x)
    torch.manual_seed(7)
    second, _ = layer(x)
    third, _ = layer(x)
    assert torch.equal(first, second)
    assert not torch.equal(second, third)
    draws = [layer(x, rng=torch.Generator().manual_seed(1))[0] for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("delay", [0, 1, [0, 1, 1, 0, 2]], ids=str)
def test_gradients_equal_autograd_across_a_cut_sequence(rng, delay):
    """Eq. 5 with a past: traces reach back over the cut, as the reference's do."""
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), delay, in_features=5)
    x = (torch.rand(9, 3, 5, generator=rng) < 0.5).double()
    uniforms = torch.rand(9, 3, 4, generator=rng).double()
    first = layer.sample(x[:4], uniforms=uniforms[:4])
    second = layer.sample(x[4:], first.state, uniforms=uniforms[4:])
    ours = [layer.gradients(run, run.score) for run in (first, second)]

    spikes = torch.cat([first.spikes, second.spikes])
    log_p = reference.layer_log_likelihood(layer, x, spikes)
    by_autograd = torch.autograd.grad(log_p.sum(), (layer.weight, layer.feedback, layer.bias))
    for name, expected in zip(("weight", "feedback", "bias"), by_autograd, strict=True):
        torch.testing.assert_close(ours[0][name] + ours[1][name], expected, rtol=0, atol=1e-10)


def test_masked_synapses_are_and_stay_zero(rng):
    mask = torch.rand(5, 4, generator=rng) < 0.5
    layer = make(rng, bases.exponential_basis(3, 1.0), 1, mask=mask)
    assert (layer.weight[:, ~mask] == 0).all()
    run = layer.sample(torch.ones(6, 3, 5), rng=rng)
    for per_sample in (False, True):
        gradient = layer.gradients(run, run.score, per_sample=per_sample)["weight"]
        assert (gradient[..., ~mask] == 0).all()
        assert (gradient[..., mask] != 0).any()


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(0, 3),
    length=st.integers(1, 7),
    delay=st.integers(0, 12),
    seed=st.integers(0, 2**31),
)
def test_any_cut_gives_the_same_spikes(steps, batch, length, delay, seed):
    """Windows longer than the sequence, delays longer than either, empty batches."""
    rng = torch.Generator().manual_seed(seed)
    layer = make(rng, bases.exponential_basis(length, 1.5), delay, 3, 2)
    x = torch.rand(steps, batch, 3, generator=rng).double()
    uniforms = torch.rand(steps, batch, 2, generator=rng).double()
    whole, _ = layer(x, uniforms=uniforms)
    cut = int(torch.randint(steps, (1,), generator=rng))
    state, pieces = None, []
    for piece in (slice(0, cut), slice(cut, steps)):
        if len(x[piece]):
            spikes, state = layer(x[piece], state, uniforms=uniforms[piece])
            pieces.append(spikes)
    assert torch.equal(torch.cat(pieces), whole)


def test_runs_on_the_device(device):
    layer = GLMLayer(3, 4).to(device)
    spikes, _ = layer(torch.ones(5, 2, 3, device=device))
    assert spikes.device.type == device.type


def test_half_precision_draws_in_float32():
    """p = 0.001: bfloat16 uniforms would fire three times as often. False-alarm rate below 1e-9."""
    torch.manual_seed(0)
    layer = GLMLayer(1, 1000, weight_std=0.0, bias_init=-6.907).to(torch.bfloat16)
    spikes, _ = layer(torch.zeros(100, 20, 1, dtype=torch.bfloat16))
    p = torch.sigmoid(layer.bias.float()).mean().item()
    count = 100 * 20 * 1000
    assert abs(spikes.float().mean().item() - p) < 6.5 * (p / count) ** 0.5


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda layer: layer(torch.ones(2, 4)), "input.*3"),
        (lambda layer: layer(torch.ones(3)), "input"),
        (lambda layer: layer(torch.ones(0, 2, 3)), "T >= 1"),
        (lambda layer: layer(torch.ones(2, 3), uniforms=torch.rand(2, 3)), "uniforms.*4"),
        (lambda layer: layer(torch.ones(2, 3), uniforms=torch.full((2, 4), 1.5)), r"\[0, 1\)"),
        (lambda layer: layer(torch.ones(2, 3), uniforms=torch.full((2, 4), torch.nan)), "got nan"),
        (lambda layer: layer(torch.full((2, 3), torch.nan)), "finite"),
        (lambda layer: layer(torch.ones(2, 3), layer(torch.ones(5, 3), None)[1]), "state.*2"),
        (lambda layer: layer(torch.ones(2, 3), layer.initial_state(torch.ones(2, 3)).mem), "GLMState"),
        (
            lambda layer: GLMLayer(3, 4, init_hidden=True)(
                torch.ones(2, 3), layer.initial_state(torch.ones(2, 3))
            ),
            "init_hidden",
        ),
        (lambda layer: GLMLayer(0, 4), "in_features"),
        (lambda layer: GLMLayer(3, -1), "out_features"),
        (lambda layer: GLMLayer(3, 4, delay=-1), "delay"),
        (lambda layer: GLMLayer(3, 4, delay=[0, 1]), "delay.*3"),
        (lambda layer: GLMLayer(3, 4, delay=0.5), "delay"),
        (lambda layer: GLMLayer(3, 4, delay=True), "delay"),
        (lambda layer: GLMLayer(2, 4, delay=list(np.arange(2))), "delay.*convert"),
        (lambda layer: GLMLayer(True, 4), "in_features"),
        (lambda layer: GLMLayer(np.int64(3), 4), "convert it with int"),
        (lambda layer: GLMLayer(3, 4, basis=torch.ones(6)), "basis"),
        (lambda layer: GLMLayer(3, 4, basis=torch.nn.Parameter(torch.eye(6))), "detach"),
        (lambda layer: GLMLayer(3, 4, refractory=-1), "refractory"),
        (lambda layer: GLMLayer(3, 4, eval_mode="mean"), "eval_mode: expected one of sample, expected"),
        (lambda layer: GLMLayer(3, 4, mask=torch.ones(3, 4)), "mask"),
        (lambda layer: GLMLayer(3, 4, mask=torch.ones(4, 3, dtype=torch.bool)), "mask"),
    ],
)
def test_wrong_input_is_named(call, names):
    with pytest.raises(InputError, match=names):
        call(GLMLayer(3, 4))


@pytest.mark.parametrize("size", [1, 4, 5, 100])
def test_gradients_of_pieces_add_up(rng, size):
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), [0, 1, 1, 0, 2], in_features=5)
    x = (torch.rand(13, 3, 5, generator=rng) < 0.5).double()
    past = layer.sample(x[:3], rng=rng)
    run = layer.sample(x[3:], past.state, rng=rng)
    rewards = torch.randn(3, 1, generator=rng).double()
    whole = layer.gradients(run, run.score * rewards)
    pieces = [layer.gradients(piece, piece.score * rewards) for piece in run.pieces(size)]
    for name, expected in whole.items():
        torch.testing.assert_close(sum(piece[name] for piece in pieces), expected)


def test_given_uniforms_stay_unchanged(rng):
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), 1, in_features=5)
    uniforms = torch.rand(9, 3, 4, generator=rng).double()
    before = uniforms.clone()
    layer.sample(torch.zeros(9, 3, 5).double(), uniforms=uniforms)
    assert torch.equal(uniforms, before)


def test_observed_spikes_get_the_likelihood_they_had_when_drawn(rng):
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), 1, in_features=5)
    x = (torch.rand(13, 3, 5, generator=rng) < 0.5).double()
    past = layer.sample(x[:3], rng=rng)
    drawn = layer.sample(x[3:], past.state, rng=rng)
    observed = layer.observe(x[3:], drawn.spikes, past.state)
    assert torch.equal(observed.spikes, drawn.spikes)
    assert torch.equal(observed.potentials, drawn.potentials)
    assert torch.equal(observed.log_likelihood, drawn.log_likelihood)


@pytest.mark.parametrize("spikes", [torch.full((9, 3, 4), 0.5), torch.zeros(9, 3, 2), [0, 1]])
def test_only_spikes_can_be_observed(rng, spikes):
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), 1, in_features=5)
    with pytest.raises(InputError, match="spikes"):
        layer.observe(torch.zeros(9, 3, 5).double(), spikes)


def test_a_delay_longer_than_the_sequence_acts_at_its_step():
    layer = GLMLayer(2, 1, delay=[1, 8], weight_std=1.0, bias_init=0.0)
    x = torch.zeros(12, 1, 2)
    x[0, 0, 1] = 1
    whole = layer.sample(x).potentials
    assert not whole[:8].any()
    assert whole[8].any()
    for length in (1, 5, 7):
        assert torch.equal(layer.sample(x[:length]).potentials, whole[:length])


def test_a_state_has_memory_of_its_own(rng):
    """Refilled buffers and changed spikes do not rewrite the past."""
    layer = make(rng, bases.raised_cosine_basis(2, 4).double(), 1, in_features=5)
    x = (torch.rand(20, 3, 5, generator=rng) < 0.5).double()
    uniforms = torch.rand(20, 3, 4, generator=rng).double()
    whole, _ = layer(x, uniforms=uniforms)
    buffer, state, parts = torch.empty(10, 3, 5).double(), None, []
    for part in (slice(0, 10), slice(10, 20)):
        buffer.copy_(x[part])
        with torch.no_grad():
            spikes, state = layer(buffer, state, uniforms=uniforms[part])
        parts.append(spikes.clone())
        spikes.zero_()
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    "other",
    [
        lambda: GLMLayer(5, 8),
        lambda: GLMLayer(6, 4),
        lambda: GLMLayer(5, 4, basis=bases.exponential_basis(4, 2.0)),
        lambda: GLMLayer(5, 4, delay=2),
    ],
)
def test_the_run_of_another_layer_is_refused(other):
    layer, run = GLMLayer(5, 4), None
    run = layer.sample(torch.zeros(7, 3, 5))
    with pytest.raises(InputError, match="run"):
        other().gradients(run, run.score)


@pytest.mark.parametrize(
    "error",
    [None, 1.0, torch.zeros(7, 3, 3), torch.zeros(7, 3, 4).long(), torch.full((7, 3, 4), torch.nan)],
)
def test_an_error_that_does_not_fit_is_refused(error):
    layer = GLMLayer(5, 4)
    with pytest.raises(InputError, match="error"):
        layer.gradients(layer.sample(torch.zeros(7, 3, 5)), error)


@pytest.mark.parametrize("refractory", [1, 3, 9])
def test_a_neuron_rests_after_a_spike_also_across_a_cut(refractory):
    layer = GLMLayer(1, 2, refractory=refractory, bias_init=30.0, feedback_init=5.0)
    x = torch.zeros(20, 3, 1)
    spikes, _ = layer(x)
    assert spikes.any(2).any(1).nonzero().flatten().tolist() == list(range(0, 20, refractory + 1))
    first, state = layer(x[:3])
    assert torch.equal(torch.cat([first, layer(x[3:], state)[0]]), spikes)
    assert (layer.filters().feedback[:refractory] < -80).all()
    assert (layer.filters().feedback[refractory:] >= 0).all()


def test_gradients_with_a_refractory_time_are_those_of_the_likelihood(rng):
    layer = make(rng, bases.exponential_basis(2, 2.0), 1, refractory=3, bias_init=0.0)
    x = (torch.rand(9, 3, 5, generator=rng) < 0.5).double()
    run = layer.sample(x, rng=rng)
    rest = torch.tensor([[1.0, 1.0, 1.0]]).double()
    u = reference.potentials(
        x,
        run.spikes,
        layer.weight,
        torch.cat([layer.feedback, torch.full_like(layer.feedback, -100.0)]),
        layer.bias,
        layer.basis,
        torch.cat([layer.feedback_basis, rest]),
        layer.delays,
    )
    torch.testing.assert_close(run.potentials, u.detach())
    expected = torch.autograd.grad(
        reference.log_likelihood(run.spikes, u).sum(), (layer.weight, layer.feedback, layer.bias)
    )
    for ours, theirs in zip(layer.gradients(run, run.score).values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_spike_within_the_refractory_time_is_all_but_impossible(rng):
    layer = GLMLayer(1, 1, refractory=2)
    spikes = torch.tensor([1.0, 0, 1, 0, 0, 1]).reshape(6, 1, 1)
    run = layer.observe(torch.zeros(6, 1, 1), spikes)
    assert run.log_likelihood.isfinite()
    assert (run.potentials.flatten() < -80).tolist() == [False, True, True, True, True, False]


def deterministic(mode):
    """Two neurons by hand: u = input - 1, less 2 and then 1 after the neuron's own spike."""
    two_lags, now = bases.identity_basis(2), bases.identity_basis(1)
    layer = GLMLayer(2, 2, basis=now, feedback_basis=two_lags, delay=0, eval_mode=mode)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.fill_(-1)
        layer.feedback.copy_(torch.tensor([[-2.0], [-1.0]]).expand(2, 2))
    return layer


def test_expected_spikes_are_probabilities_that_feed_back():
    layer, x = deterministic("expected").eval(), torch.tensor([[0.0, 3.0], [2.0, 1.0], [4.0, 1.0]])
    probabilities, state = layer(x.unsqueeze(1))
    first = torch.sigmoid(x[0] - 1)
    second = torch.sigmoid(x[1] - 1 - 2 * first)
    third = torch.sigmoid(x[2] - 1 - 2 * second - first)
    torch.testing.assert_close(probabilities.squeeze(1), torch.stack([first, second, third]))
    torch.testing.assert_close(state.mem[0], torch.logit(third))
    stepwise = None
    for step in x.unsqueeze(1):
        out, stepwise = layer(step, stepwise)
    torch.testing.assert_close(out[0], third)
    probabilities.sum().backward()
    assert layer.feedback.grad.all()


@pytest.mark.parametrize("grad", [False, True])
def test_thresholded_spikes_are_the_likelier_outcome(grad):
    layer = deterministic("threshold").eval()
    x = torch.tensor([[[1.1, 0.9]], [[2.9, 1.1]], [[2.1, 2.9]]])  # potentials of .1 and -.1
    with torch.set_grad_enabled(grad):
        assert layer(x)[0].squeeze(1).tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("mode", ["expected", "threshold"])
def test_layers_sample_in_training_and_on_given_noise(mode, rng):
    layer, x = deterministic(mode), torch.ones(9, 50, 2)
    uniforms = torch.rand(9, 50, 2, generator=rng)
    drawn = layer.sample(x, uniforms=uniforms).spikes
    for training in (True, False):
        layer.train(training)
        assert torch.equal(layer(x, uniforms=uniforms)[0], drawn)
        assert torch.equal(layer.sample(x, uniforms=uniforms).spikes, drawn)
        assert set(layer(x, rng=rng)[0].unique().tolist()) == {0.0, 1.0}
        assert torch.equal(layer(x)[0], layer(x)[0]) != training


def test_large_numbers_are_finite():
    layer = GLMLayer(5, 4, weight_std=0.0)
    assert layer.sample(torch.full((7, 3, 5), 3e38)).potentials.isfinite().all()
