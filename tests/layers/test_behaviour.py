"""Layers as modules: copied, saved, compiled, vmapped, autocast, distributed, made by the thousand."""

import copy
import gc
import io
import subprocess
import sys
import tracemalloc
import weakref

import pytest
import snntorch as snn
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from snn_gan_ext import GLMConv1d, GLMConv2d, GLMConvTranspose2d, GLMLayer, InputError, masks


def coupled(make, **options):
    """Make a layer whose neurons hear each other strongly, with the same weights each time."""
    layer = make(**options)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in (layer.coupling, layer.same_step, layer.count):
            if weight is not None:
                weight.normal_(0.0, 0.5, generator=rng)
    return layer


def coupled_dense(**options):
    wiring = {"coupling": masks.ring(4), "same_step": [2, 0, 3, 1], "counts": 2}
    return coupled(lambda **o: GLMLayer(6, 4, **o), **wiring, **options)


def coupled_conv(**options):
    wiring = {"coupling_kernel": 3, "same_step": "checkerboard"}
    return coupled(lambda **o: GLMConv2d(2, 3, 3, **o), **wiring, **options)


MAKERS = {
    "dense": (lambda **o: GLMLayer(6, 4, **o), (6,), (4,)),
    "conv": (lambda **o: GLMConv2d(2, 3, 3, **o), (2, 5, 5), (3, 3, 3)),
    "transposed": (lambda **o: GLMConvTranspose2d(2, 4, 3, groups=2, **o), (2, 3, 3), (4, 5, 5)),
    "line": (
        lambda **o: GLMConv1d(2, 3, 3, padding="same", dilation=2, refractory=8, **o),
        (2, 6),
        (3, 6),
    ),
    "coupled": (coupled_dense, (6,), (4,)),
    "coupled conv": (coupled_conv, (2, 5, 5), (3, 3, 3)),
}
each_layer = pytest.mark.parametrize(("make", "inputs", "outputs"), MAKERS.values(), ids=MAKERS)


@each_layer
def test_a_thousand_layers_leave_nothing_behind(make, inputs, outputs):
    instances = len(snn.SpikingNeuron.instances)
    references = []
    tracemalloc.start()
    for count in range(1000):
        layer = make(init_hidden=True)
        if count % 100 == 0:
            layer(torch.ones(1, *inputs))
        references.append(weakref.ref(layer))
        if count == 100:
            del layer
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
    layer = None
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(reference() is None for reference in references)
    assert len(snn.SpikingNeuron.instances) == instances
    assert after - before < 400_000  # the list of weak references; a leaked layer takes several kB


@each_layer
def test_deepcopy_before_and_after_a_forward(make, inputs, outputs):
    layer = make(init_hidden=True)
    copy.deepcopy(layer)
    x, uniforms = torch.rand(5, 2, *inputs), torch.rand(5, 2, *outputs)
    layer(x, uniforms=uniforms)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x, uniforms=uniforms), layer(x, uniforms=uniforms))
    twin.weight.data.zero_()
    assert layer.weight.any()


@each_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_state_dict_round_trip(make, inputs, outputs, dtype, device):
    layer = make()
    layer(torch.ones(2, *inputs), None)
    saved = io.BytesIO()
    torch.save(layer.state_dict(), saved)
    saved.seek(0)
    twin = make().to(device=device, dtype=dtype)
    twin.load_state_dict(torch.load(saved, weights_only=True))
    for name, tensor in [*twin.named_parameters(), *twin.named_buffers()]:
        if tensor.is_floating_point():  # masks are booleans
            assert tensor.dtype == dtype
        assert tensor.device.type == device.type
        expected = layer.state_dict()[name].to(tensor.dtype)
        torch.testing.assert_close(tensor.detach().cpu(), expected)
    spikes, _ = twin(torch.ones(3, 2, *inputs, dtype=dtype, device=device))
    assert spikes.dtype == dtype


@each_layer
def test_weights_of_other_delays_are_refused(make, inputs, outputs):
    with pytest.raises(InputError, match=r"delays \[1\] .*, got \[3\]"):
        make().load_state_dict(make(delay=3).state_dict())


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (
            coupled_dense,
            lambda: GLMLayer(6, 4, coupling=masks.ring(4), same_step=[0, 2, 3, 1], counts=2),
        ),
        (
            lambda: GLMConv2d(1, 1, 1, coupling_kernel=3, same_step=torch.tensor([[[0, 1]]])),
            lambda: GLMConv2d(1, 1, 1, coupling_kernel=3, same_step=torch.tensor([[[0], [1]]])),
        ),
    ],
)
def test_weights_of_another_order_within_a_step_are_refused(make, other):
    with pytest.raises(InputError, match="same_step it was trained with"):
        make().load_state_dict(other().state_dict())


@each_layer
def test_the_module_itself_can_be_saved(make, inputs, outputs):
    layer = make(init_hidden=True)
    x, uniforms = torch.rand(2, *inputs), torch.rand(2, *outputs)
    layer(x, uniforms=uniforms)
    saved = io.BytesIO()
    torch.save(layer, saved)
    saved.seek(0)
    twin = torch.load(saved, weights_only=False)
    assert torch.equal(twin(x, uniforms=uniforms), layer(x, uniforms=uniforms))


@each_layer
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiles_as_one_graph(make, inputs, outputs, grad):
    """The front end alone (no C compiler is needed); the graph must not break."""
    torch.compiler.reset()
    layer = make()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, uniforms = torch.rand(4, 2, *inputs), torch.rand(4, 2, *outputs)
    with torch.set_grad_enabled(grad):
        ours, state = compiled(x, uniforms=uniforms)
        expected, _ = layer(x, uniforms=uniforms)
        assert torch.equal(ours, expected)
        again, _ = compiled(x, state, uniforms=uniforms)
        assert torch.equal(again, layer(x, state, uniforms=uniforms)[0])
    if grad:
        ours.sum().backward()
        assert layer.weight.grad.isfinite().all()


@each_layer
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_over_ensembles_and_over_noise(make, inputs, outputs):
    layers = [make() for _ in range(3)]
    parameters, buffers = stack_module_state(layers)
    x, uniforms = torch.rand(4, 2, *inputs), torch.rand(3, 4, 2, *outputs)
    base = layers[0]

    def run(parameters, buffers, noise):
        return functional_call(base, (parameters, buffers), (x,), {"uniforms": noise})[0]

    with torch.no_grad():
        stacked = vmap(run)(parameters, buffers, uniforms)
        for j, layer in enumerate(layers):
            assert torch.equal(stacked[j], layer(x, uniforms=uniforms[j])[0])
        noisy = vmap(lambda noise: base(x, uniforms=noise)[0])(uniforms)
        for j in range(3):
            assert torch.equal(noisy[j], base(x, uniforms=uniforms[j])[0])


@each_layer
@pytest.mark.parametrize("grad", [False, True])
def test_autocast_samples_in_float32(make, inputs, outputs, grad):
    layer = make()
    x, uniforms = torch.rand(4, 2, *inputs), torch.rand(4, 2, *outputs)
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        spikes, state = layer(x, uniforms=uniforms)
    assert spikes.dtype == state.mem.dtype == torch.float32
    expected, _ = layer(x, uniforms=uniforms)
    assert (spikes != expected).float().mean() < 0.05  # the product alone is half precise


@each_layer
def test_odd_batches(make, inputs, outputs):
    layer = make().double()
    x = torch.rand(2, 6, *inputs).double()  # batch first in memory
    uniforms = torch.rand(6, 2, *outputs).double()
    turned = x.transpose(0, 1)
    assert not turned.is_contiguous()
    spikes, _ = layer(turned, uniforms=uniforms)
    assert torch.equal(spikes, layer(turned.contiguous(), uniforms=uniforms)[0])
    assert layer(turned[:, :0])[0].shape == (6, 0, *outputs)
    one, state = layer(turned[:1], uniforms=uniforms[:1])
    assert torch.equal(one, spikes[:1])
    with pytest.raises(InputError, match="state"):
        layer(turned[:, :1], state)
    wrong = layer(turned[0, :1], None)[1]
    with pytest.raises(InputError, match="state"):
        layer(turned[0], wrong)
    empty = layer.sample(turned[:, :0])
    assert not any(g.any() for g in layer.gradients(empty, empty.score).values())
    with pytest.raises(InputError, match="error"):
        layer.gradients(empty, torch.zeros(6, 2, *outputs))


def test_two_gloo_processes_equal_one_on_the_joined_batch(tmp_path):
    """DistributedDataParallel averages the two halves' gradients into the joined batch's."""
    command = [sys.executable, "-m", "tests.layers.distributed", str(tmp_path)]
    subprocess.run(command, check=True, timeout=240)
    joined, halves = (torch.load(tmp_path / f"{name}.pt") for name in ("joined", "halves"))
    assert torch.equal(joined["spikes"], halves["spikes"])
    for ours, theirs in zip(halves["gradients"], joined["gradients"], strict=True):
        torch.testing.assert_close(ours, theirs)


class Net(nn.Module):
    """A model as users write them."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 6), GLMLayer(6, 4, init_hidden=True))

    def forward(self, x):
        snn.utils.reset(self)
        return torch.stack([self.body(step) for step in x])


def test_a_fresh_forward_each_batch_builds_no_growing_graph():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        before = net.body[0].weight.clone()
        optimizer.zero_grad()
        net(torch.rand(5, 2, 3)).sum().backward()  # a graph kept from the last batch would raise here
        optimizer.step()
        assert not torch.equal(net.body[0].weight, before)


@each_layer
def test_new_parameters_follow_the_law_of_the_constructor(make, inputs, outputs):
    layer = make(bias_init=-4.0, weight_std=1e-3, feedback_init=2.0)
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)
    assert layer.weight.std() < 2e-3
    assert (layer.bias == -4).all()
    assert (layer.feedback == 2).all()
    layer.reset_parameters(bias_init=1.0)
    assert (layer.bias == 1).all()


@each_layer
def test_a_hidden_state_moves_with_the_layer(make, inputs, outputs):
    layer = make(init_hidden=True)
    x, uniforms = torch.rand(3, *inputs), torch.rand(3, *outputs)
    layer(x, uniforms=uniforms)
    twin = copy.deepcopy(layer)
    layer.double().float()
    assert torch.equal(layer(x, uniforms=uniforms), twin(x, uniforms=uniforms))
    assert layer.double()(x.double(), uniforms=uniforms.double()).dtype == torch.float64
