import pytest
import torch

from snn_gan_ext import InputError
from snn_gan_ext.functional import bases, glm
from snn_gan_ext.functional._kernels import glm as kernels
from tests.functional import reference

pytestmark = pytest.mark.usefixtures("double")

BASES = {
    "exponential": lambda: bases.exponential_basis(4, 2.0),
    "raised cosine": lambda: bases.raised_cosine_basis(2, 5),
    "identity": lambda: bases.identity_basis(3),
}
SIZES = [(3, 5), (5, 3)]  # filtered on the input side, and on the output side


def network(rng, basis, in_features, out_features, steps=7, batch=4):
    inputs = (torch.rand(steps, batch, in_features, generator=rng) < 0.4).double()
    weight = torch.randn(len(basis), in_features, out_features, generator=rng)
    feedback = torch.randn(len(basis), out_features, generator=rng)
    bias = torch.randn(out_features, generator=rng)
    uniforms = torch.rand(steps, batch, out_features, generator=rng)
    return inputs, weight, feedback, bias, uniforms


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def path(request, monkeypatch):
    """Every test holds for the compiled kernels and for PyTorch operations."""
    if request.param == "torch":
        monkeypatch.setattr(glm, "arrays_of", lambda *tensors: None)
    else:
        monkeypatch.setattr(kernels, "is_sparse", lambda inputs, threads: True)
    return request.param


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
@pytest.mark.parametrize(("in_features", "out_features"), SIZES)
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_potentials_are_eq_2_and_gradients_eq_5(rng, basis, in_features, out_features, delay):
    basis = basis()
    inputs, *parameters, uniforms = network(rng, basis, in_features, out_features)
    weight, feedback, bias = (p.requires_grad_() for p in parameters)
    with torch.no_grad():
        drive = glm.synaptic_drive(inputs, weight, basis, delay)
        spikes, u = glm.sample(drive, bias, feedback, basis, uniforms)
    delays = [delay] * in_features
    expected_u = reference.potentials(inputs, spikes, weight, feedback, bias, basis, basis, delays)
    torch.testing.assert_close(u, expected_u.detach(), rtol=0, atol=1e-12)
    assert torch.equal(spikes, (uniforms < torch.sigmoid(expected_u)).double())

    expected = reference.log_likelihood(spikes, expected_u)
    torch.testing.assert_close(glm.log_likelihood(spikes, u), expected.detach())
    by_autograd = torch.autograd.grad(expected.sum(), (weight, feedback, bias))
    error = glm.score(spikes, u)
    closed_form = (
        glm.synaptic_gradient(inputs, error, basis, delay),
        glm.feedback_gradient(spikes, error, basis),
        error.sum((0, 1)),
    )
    for ours, theirs in zip(closed_form, by_autograd, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("in_features", "out_features"), SIZES)
def test_a_filter_that_leaks_the_same_bin_is_caught(rng, in_features, out_features):
    """Negative control of the test above: one step too early is not eq. 2."""
    basis = bases.exponential_basis(4, 2.0)
    inputs, weight, _, _, _ = network(rng, basis, in_features, out_features)
    right = glm.synaptic_drive(inputs, weight, basis, 1)
    leaking = glm.synaptic_drive(inputs, weight, basis, 0)
    assert (right - leaking).abs().max() > 0.1
    changed = inputs.clone()
    changed[-1] = 1 - changed[-1]  # the last bin may not matter at delay 1
    assert torch.equal(glm.synaptic_drive(changed, weight, basis, 1), right)


@pytest.mark.parametrize(("in_features", "out_features"), SIZES)
def test_per_sample_gradients_add_up(rng, in_features, out_features):
    basis = bases.raised_cosine_basis(2, 5)
    inputs, _, _, _, uniforms = network(rng, basis, in_features, out_features)
    spikes = (uniforms < 0.5).double()
    error = torch.randn(spikes.shape, generator=rng)
    whole = glm.synaptic_gradient(inputs, error, basis, 1)
    parts = glm.synaptic_gradient(inputs, error, basis, 1, per_sample=True)
    assert parts.shape == (4, *whole.shape)
    torch.testing.assert_close(parts.sum(0), whole)
    whole = glm.feedback_gradient(spikes, error, basis)
    parts = glm.feedback_gradient(spikes, error, basis, per_sample=True)
    torch.testing.assert_close(parts.sum(0), whole)


def test_a_leading_axis_is_an_ensemble_of_networks(rng):
    basis = bases.raised_cosine_basis(2, 5)
    for sizes in SIZES:
        members = [network(rng, basis, *sizes) for _ in range(3)]
        inputs, weight, feedback, bias, uniforms = (
            torch.stack(part) for part in zip(*members, strict=True)
        )
        drive = glm.synaptic_drive(inputs, weight, basis, 1)
        spikes, u = glm.sample(drive, bias, feedback, basis, uniforms)
        error = glm.score(spikes, u)
        gradient = glm.synaptic_gradient(inputs, error, basis, 1)
        for j, (x, w, f, b, noise) in enumerate(members):
            alone, u_alone = glm.sample(glm.synaptic_drive(x, w, basis, 1), b, f, basis, noise)
            assert torch.equal(spikes[j], alone)
            torch.testing.assert_close(u[j], u_alone)
            torch.testing.assert_close(gradient[j], glm.synaptic_gradient(x, error[j], basis, 1))


def test_log_likelihood_stays_finite_and_keeps_its_slope():
    u = torch.tensor([[[-800.0, 800.0]]], requires_grad=True)
    spikes = torch.tensor([[[1.0, 0.0]]])
    log_p = glm.log_likelihood(spikes, u)
    assert log_p.item() == pytest.approx(-1600)
    log_p.sum().backward()
    assert torch.equal(u.grad, torch.tensor([[[1.0, -1.0]]]))


def test_spikes_are_fair(rng):
    """False-alarm rate 1e-9 (6 standard deviations); a neuron off by 2 % must be seen."""
    steps, batch, p = 100, 2000, 0.3
    bias = torch.logit(torch.tensor([p]))
    drive = torch.zeros(steps, batch, 1)
    uniforms = torch.rand(steps, batch, 1, generator=rng)
    silent = torch.zeros(1, 1), bases.exponential_basis(1, 1.0)
    spikes, _ = glm.sample(drive, bias, *silent, uniforms)
    bound = 6 * (p * (1 - p) / (steps * batch)) ** 0.5
    assert abs(spikes.mean().item() - p) < bound
    wrong, _ = glm.sample(drive, torch.logit(torch.tensor([p + 0.02])), *silent, uniforms)
    assert abs(wrong.mean().item() - p) > bound


@pytest.mark.parametrize("delay", [0, 1, 3])
@pytest.mark.parametrize(("in_features", "out_features"), SIZES)
def test_gradients_accept_a_history(rng, in_features, out_features, delay):
    basis = bases.raised_cosine_basis(2, 5)
    inputs, _, _, _, uniforms = network(rng, basis, in_features, out_features)
    spikes, error = (uniforms < 0.5).double(), torch.randn(uniforms.shape, generator=rng)
    past = 3
    silent = error.clone()
    silent[:past] = 0
    torch.testing.assert_close(
        glm.synaptic_gradient(inputs, error[past:], basis, delay),
        glm.synaptic_gradient(inputs, silent, basis, delay),
    )
    torch.testing.assert_close(
        glm.feedback_gradient(spikes, error[past:], basis),
        glm.feedback_gradient(spikes, silent, basis),
    )


def test_arguments_stay_unchanged_without_overwrite(rng, path):
    basis = bases.exponential_basis(4, 2.0)
    _, _, feedback, bias, uniforms = network(rng, basis, 3, 5)
    drive = torch.randn(uniforms.shape, generator=rng)
    before = drive.clone(), uniforms.clone()
    expected = glm.sample(drive, bias, feedback, basis, uniforms)
    assert torch.equal(drive, before[0])
    assert torch.equal(uniforms, before[1])
    spikes, u = glm.sample(drive, bias, feedback, basis, uniforms, overwrite=True)
    assert torch.equal(spikes, expected[0])
    assert torch.equal(u, expected[1])
    if path == "compiled":
        assert u.data_ptr() == drive.data_ptr()
        assert spikes.data_ptr() == uniforms.data_ptr()


def test_strides_of_arguments_do_not_matter(rng):
    basis = bases.raised_cosine_basis(2, 5)
    inputs, weight, *_ = network(rng, basis, 5, 3)
    turned = inputs.transpose(0, 1).contiguous().transpose(0, 1)
    assert not turned.is_contiguous()
    drive = glm.synaptic_drive(inputs, weight, basis, 1)
    assert torch.equal(glm.synaptic_drive(turned, weight, basis, 1), drive)
    assert torch.equal(
        glm.synaptic_gradient(turned, drive, basis, 1), glm.synaptic_gradient(inputs, drive, basis, 1)
    )


def test_real_valued_inputs_are_weighted_by_their_values(rng):
    basis = bases.exponential_basis(4, 2.0)
    inputs, weight, *_ = network(rng, basis, 5, 3)
    twice = glm.synaptic_drive(2.5 * inputs, weight, basis, 1)
    torch.testing.assert_close(twice, 2.5 * glm.synaptic_drive(inputs, weight, basis, 1))


def test_mismatched_shapes_are_refused(rng):
    basis = bases.exponential_basis(4, 2.0)
    inputs, weight, feedback, bias, uniforms = network(rng, basis, 5, 3)
    error = torch.randn(uniforms.shape, generator=rng)
    calls = (
        lambda: glm.synaptic_drive(inputs[..., :4], weight, basis, 1),
        lambda: glm.synaptic_drive(inputs, weight, basis, -1),
        lambda: glm.synaptic_gradient(inputs[1:], error, basis, 1),
        lambda: glm.synaptic_gradient(inputs[:, 1:], error, basis, 1),
        lambda: glm.synaptic_gradient(inputs, error, basis, -1),
        lambda: glm.feedback_gradient(uniforms[1:], error, basis),
        lambda: glm.feedback_gradient(uniforms[:, 1:], error, basis),
        lambda: glm.feedback_gradient(uniforms[..., 1:], error, basis),
        lambda: glm.sample(error, bias, feedback, basis, uniforms[:, 1:]),
        lambda: glm.sample(error, bias[1:], feedback, basis, uniforms),
        lambda: glm.sample(error, bias, feedback[:, 1:], basis, uniforms),
    )
    for call in calls:
        with pytest.raises((RuntimeError, InputError)):
            call()
