"""The choice of the compiled kernels; `tests/functional/test_glm.py` tests their results."""

import numba
import numpy as np
import pytest
import torch
from numba.core.caching import FunctionCache
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from snn_gan_ext import GLMLayer
from snn_gan_ext.functional import _dispatch, _kernels, bases, glm
from snn_gan_ext.functional._kernels import glm as kernels


@pytest.fixture
def calls(monkeypatch):
    """Names of the called kernels."""
    names = []
    for name in ("synaptic_drive", "synaptic_gradient", "sample", "feedback_gradient"):
        kernel = getattr(kernels, name)

        def record(*arguments, name=name, kernel=kernel):
            names.append(name)
            return kernel(*arguments)

        monkeypatch.setattr(kernels, name, record)
    return names


def step(layer, x):
    run = layer.sample(x)
    return layer.gradients(run, run.score)


def test_sparse_events_go_through_the_kernels(calls, rng):
    events = torch.empty(10, 4, 50).bernoulli_(0.05, generator=rng)
    step(GLMLayer(50, 8), events)
    assert calls == ["synaptic_drive", "sample", "feedback_gradient", "synaptic_gradient"]


def test_dense_input_goes_through_matrix_products(calls, rng):
    step(GLMLayer(50, 8), torch.rand(10, 4, 50, generator=rng))
    assert calls == ["sample", "feedback_gradient"]


def test_autograd_and_half_precision_bypass_the_kernels(calls, rng):
    events = torch.empty(10, 4, 50).bernoulli_(0.05, generator=rng)
    spikes, _ = GLMLayer(50, 8)(events)
    spikes.sum().backward()
    step(GLMLayer(50, 8).bfloat16(), events)
    assert calls == []


@pytest.mark.parametrize("density", [0.0, 0.05, 0.2, 0.6, 1.0])
def test_density_is_compared_with_the_threads_of_a_product(density):
    events = (np.random.default_rng(0).random((20, 30, 40)) < density).astype(np.float32)
    assert kernels.is_sparse(events, 1) == (density < 0.3)
    assert kernels.is_sparse(events, 4) == (density < 0.3 / 4)


def test_without_the_kernels_a_layer_gives_the_same(monkeypatch, rng):
    """Sums may round differently in single precision. Only a uniform in between changes a spike."""
    events = torch.empty(10, 4, 50).bernoulli_(0.05, generator=rng)
    uniforms = torch.rand(10, 4, 8, generator=rng)
    layer = GLMLayer(50, 8, basis=bases.raised_cosine_basis(2, 6), rng=rng)
    compiled = layer.sample(events, uniforms=uniforms)
    monkeypatch.setattr(glm, "arrays_of", lambda *tensors: None)
    plain = layer.sample(events, uniforms=uniforms)
    assert torch.equal(compiled.spikes, plain.spikes)
    torch.testing.assert_close(compiled.potentials, plain.potentials)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # PyTorch's own use
def test_tracers_of_pytorch_operations_bypass_the_kernels(calls, rng):
    """Forward-mode derivatives and traces do not see numba."""
    events = torch.empty(10, 4, 50).bernoulli_(0.05, generator=rng)
    weight, basis = torch.randn(1, 50, 8, generator=rng), bases.exponential_basis(4, 2.0)

    def drive(x):
        return glm.synaptic_drive(x, weight, basis, 1)

    with forward_ad.dual_level():
        dual = forward_ad.make_dual(events, torch.ones_like(events))
        assert forward_ad.unpack_dual(drive(dual)).tangent is not None
    torch.testing.assert_close(make_fx(drive)(events)(2 * events), 2 * drive(events))
    assert calls == ["synaptic_drive"]


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """A loop whose cache is in a folder of its own, as a new process would compile it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    _kernels._warn.cache_clear()

    def start():
        return _kernels.compiled(sum_of_squares)

    yield start
    _kernels._warn.cache_clear()


def sum_of_squares(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i] * x[i]
    return total


@pytest.mark.parametrize(("ending", "kept"), [("nbi", 0), ("nbi", 40), ("nbc", 0), ("nbc", 500)])
def test_a_damaged_cache_is_replaced_and_said_once(fresh_cache, tmp_path, ending, kept):
    x = np.arange(4.0)
    assert fresh_cache()(x) == 14
    for path in tmp_path.rglob(f"*.{ending}"):
        path.write_bytes(path.read_bytes()[:kept])
    with pytest.warns(UserWarning, match="cache cannot be used") as said:
        assert fresh_cache()(x) == 14
    assert len(said) == 1
    assert fresh_cache()(x) == 14  # and no second warning, in a process that could not give it
    _kernels._warn.cache_clear()
    assert fresh_cache()(x) == 14


def test_a_full_disk_costs_the_cache_alone(fresh_cache, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FunctionCache, "save_overload", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert fresh_cache()(np.arange(4.0)) == 14


def test_without_a_place_for_the_cache_loops_compile(fresh_cache, monkeypatch):
    def nowhere(self, function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(FunctionCache, "__init__", nowhere)
    with pytest.warns(UserWarning, match="no locator"):
        assert fresh_cache()(np.arange(4.0)) == 14


def test_pytorch_stands_in_for_a_broken_numba(monkeypatch):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.4 or less")

    monkeypatch.setattr(_dispatch, "import_module", broken)
    _dispatch._can_compile.cache_clear()
    try:
        with pytest.warns(UserWarning, match="numba does not work here: Numba needs"):
            assert GLMLayer(3, 2).sample(torch.ones(4, 2, 3)).spikes.shape == (4, 2, 2)
    finally:
        _dispatch._can_compile.cache_clear()
