"""Rules for settings, labels and tensors."""

import math
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from snn_gan_ext.errors import InputError
from snn_gan_ext.validation import (
    FINITE,
    above,
    at_least,
    between,
    check_basis,
    check_finite,
    check_floats,
    check_labels,
    check_parts,
    check_positive,
    check_setting,
    check_settings,
    check_shapes,
    check_spikes,
    check_tensor,
    check_tensors,
    check_uniforms,
    check_values,
    concrete,
    one_of,
    plain,
    whole,
)


@pytest.mark.parametrize(
    ("rule", "allowed", "refused", "says"),
    [
        (whole(1), (1, 7), (0, 1.0, np.int64(7), True, "1", None), "a whole number of at least 1"),
        (whole(0, 3), (0, 3), (-1, 4, 2.5), "a whole number from 0 to 3"),
        (at_least(0), (0, 0.5, 10**6), (-1e-9, math.inf, math.nan, "0", False, 10**400), "0 or more"),
        (above(0), (1e-9, 1), (0, -1, math.inf), "above 0"),
        (FINITE, (-1e300, 0), (math.inf, math.nan, None), "a finite number"),
        (between(0, 1), (0, 1, 0.5), (-0.1, 1.1, math.nan), "0 .. 1"),
        (between(0, 1, closed="left"), (0, 0.9), (1, -0.1), "0 or more, below 1"),
        (between(0, 1, closed="right"), (1, 0.1), (0, 1.1), "above 0, at most 1"),
        (between(0, 1, closed="neither"), (0.5,), (0, 1), "above 0, below 1"),
        (one_of(Literal["a", "b"]), ("a", "b"), ("c", None, 1), "one of a, b"),
    ],
)
def test_a_rule_accepts_its_values_alone(rule, allowed, refused, says):
    for value in allowed:
        check_settings(SimpleNamespace(it=value), it=rule)
    for value in refused:
        with pytest.raises(InputError, match=rf"it: expected {says}, got ") as failure:
            check_settings(SimpleNamespace(it=value), it=rule)
        assert value == 10**400 or repr(value) in str(failure.value)


@pytest.mark.parametrize(
    "value", [10**5000, list(range(10**5)), np.zeros((9, 9))], ids=["int", "list", "array"]
)
def test_a_refused_value_is_shown_on_one_short_line(value):
    for rule in (whole(1, 3), between(0, 1), one_of(Literal["a"])):
        with pytest.raises(InputError) as failure:
            check_setting("it", value, rule)
        assert len(str(failure.value)) < 200
        assert "\n" not in str(failure.value)


@pytest.mark.parametrize("size", [0, -1, 1.0, True, np.int64(3), "1"])
def test_sizes_are_whole_numbers_of_at_least_1(size):
    check_positive(width=1, height=7)
    with pytest.raises(InputError, match="height: expected a whole number of at least 1, got "):
        check_positive(width=1, height=size)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_dtype_become_int64(dtype):
    labels = check_labels(torch.tensor([0, 2, 1], dtype=dtype), 3, 3)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 2, 1]
    assert check_labels(torch.zeros(0, dtype=dtype), 3).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 3]), r"expected 0 \.\. 2, got 3"),
        (torch.tensor([-1, 0]), r"expected 0 \.\. 2, got -1"),
        (torch.tensor([0, 1, 2]), r"expected whole numbers \[2\], got torch.int64 \[3\]"),
        (torch.tensor([[0, 1]]), r"expected whole numbers \[2\]"),
        (torch.tensor([0.0, 1.0]), "expected whole numbers .* got torch.float32"),
        (torch.tensor([True, False]), "expected whole numbers .* got torch.bool"),
        ([0, 1], "expected a tensor, got list"),
    ],
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(InputError, match="labels: " + message):
        check_labels(labels, 3, 2)


def test_labels_without_a_number_of_classes_are_0_or_more():
    assert check_labels(torch.tensor([7])).tolist() == [7]
    with pytest.raises(InputError, match="expected 0 or more"):
        check_labels(torch.tensor([-1]))


def test_values_are_unchecked_where_none_exist():
    assert concrete(torch.tensor(2.0)) == 2
    assert concrete(torch.empty((), device="meta")) is None
    torch.vmap(lambda x: check_finite("x", x) or x)(torch.full((2, 3), torch.nan))
    with pytest.raises(InputError, match="x: expected finite numbers"):
        check_finite("x", torch.tensor([1.0, torch.inf, -torch.inf]))
    check_finite("x", torch.full((9,), 3e38))  # the sum overflows, the numbers do not


def test_equal_letters_are_equal_sizes():
    x = torch.ones(5, 3)
    check_shapes(inputs=(x, "BI"), weight=(torch.ones(3, 2), ("I", "O")), out=(torch.ones(5, 2), "BO"))
    check_shapes(inputs=(x, (5, 3)), empty=(x[:0], ("B", 3)))
    with pytest.raises(InputError, match=r"^weight: expected shape \[3, O\], got \[4, 2\]; turn it$"):
        check_shapes("turn it", inputs=(x, "BI"), weight=(torch.ones(4, 2), "IO"))


@pytest.mark.parametrize(
    ("value", "axes"),
    [(torch.ones(5, 3), "B"), (torch.ones(5, 3), (5, 4)), (torch.ones(0, 3), "TN"), ([1.0], "B")],
)
def test_other_shapes_are_refused(value, axes):
    with pytest.raises(InputError, match="x: expected"):
        check_shapes(x=(value, axes))


def test_the_first_value_out_of_range_is_shown():
    x = torch.tensor([0.5, -2.25, 7.0, torch.nan])
    check_values("x", x, x != 3, "not 3")
    with pytest.raises(InputError, match=r"^x: expected 0 or more, got -2\.25; add 3$"):
        check_values("x", x, x >= 0, "0 or more", "add 3")


def test_spikes_are_zeros_and_ones():
    check_spikes("s", torch.tensor([0, 1]))
    for wrong in (0.5, 2.0, -1.0, torch.nan):
        with pytest.raises(InputError, match="s: expected zeros and ones, got "):
            check_spikes("s", torch.tensor([0.0, wrong]))


@pytest.mark.parametrize(
    "uniforms",
    [torch.zeros(2, 3), torch.zeros(3).long(), torch.tensor([0.0, 1.1, 0.0]), [0.0, 0.0, 0.0]],
)
def test_uniform_noise_has_a_shape_a_dtype_and_a_range(uniforms):
    check_uniforms(torch.rand(3), (3,))
    with pytest.raises(InputError, match="uniforms"):
        check_uniforms(uniforms, (3,))


def test_whole_numbers_are_no_floats():
    check_floats("x", torch.ones(1).bfloat16())
    with pytest.raises(InputError, match=r"x: expected floats, got torch\.int64"):
        check_floats("x", torch.ones(1).long())


@pytest.mark.parametrize(
    "basis",
    [
        torch.ones(2, 3),
        torch.zeros(1, 3),
        torch.eye(3)[:, :2],
        [1.0],
        torch.ones(3),
        torch.ones(0, 3),
        torch.ones(2, 3).long(),
        torch.full((2, 3), torch.nan),
    ],
)
def test_a_basis_is_a_matrix_of_independent_finite_functions(basis):
    with pytest.raises(InputError, match="basis"):
        check_basis("basis", basis)


def test_a_basis_does_not_learn():
    with pytest.raises(InputError, match=r"basis: expected a fixed tensor, .* pass basis\.detach\(\)"):
        check_basis("basis", torch.nn.Parameter(torch.eye(3)))


def test_a_basis_is_copied_in_the_default_dtype():
    given = torch.eye(2, 3, dtype=torch.float64)
    copied = check_basis("basis", given)
    assert copied.dtype == torch.float32
    assert check_basis("basis", copied).data_ptr() != copied.data_ptr()


def test_only_tensors_are_tensors():
    check_tensor("x", torch.ones(1))
    with pytest.raises(InputError, match="x: expected a tensor, got ndarray"):
        check_tensor("x", np.ones(1))
    with pytest.raises(InputError, match=r"got one on the meta device|values"):
        plain(torch.ones(1, device="meta"))


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (lambda x: x.to_sparse(), "to_dense"),
        (lambda x: torch.nested.nested_tensor([x]), "to_padded_tensor"),
        (lambda x: torch.quantize_per_tensor(x, 1.0, 0, torch.quint8), "dequantize"),
        (lambda x: x.to(torch.complex64), "abs"),
        (lambda x: x.to(torch.float8_e5m2), "float"),
        (lambda x: x.numpy(), "as_tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # of PyTorch about its own kinds
def test_the_cure_for_a_tensor_of_another_kind_is_named(change, cure):
    with pytest.raises(InputError, match=cure):
        check_tensor("x", change(torch.ones(2)))


def test_named_axes_are_refused_where_pytorch_has_them():
    tensor = torch.ones(2)
    if hasattr(tensor, "names"):
        with pytest.raises(InputError, match="rename"):
            check_tensor("x", tensor.rename("B"))


def test_tensors_are_on_one_device():
    check_tensors(x=torch.ones(1), y=torch.ones(2))
    with pytest.raises(InputError, match=r"y: expected a tensor on cpu, got one on meta"):
        check_tensors(x=torch.ones(1), y=torch.ones(2, device="meta"))


def test_a_value_has_the_parts_that_are_asked_for():
    check_parts("it", SimpleNamespace(a=1, b=2), "a thing with a and b", "a", "b")
    with pytest.raises(InputError, match="it: expected a thing with a and b, got int"):
        check_parts("it", 1, "a thing with a and b", "a", "b")
