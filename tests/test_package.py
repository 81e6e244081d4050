"""The cost of importing the package and its command, and the package's place in snnTorch."""

import subprocess
import sys

import pytest

import snn_gan_ext

HEAVY = {"torch", "snntorch", "sklearn", "scipy", "matplotlib", "numba", "brian2", "tonic", "pandas"}


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def modules_after(statement):
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    shown = run(f"import sys\ntry:\n    {statement}\nfinally:\n    print('\\n', *sys.modules)")
    return {name.split(".")[0] for name in shown.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "statement",
    [
        "import snn_gan_ext",
        "import snn_gan_ext.cli",
        "from snn_gan_ext import InputError, __version__",
        "from snn_gan_ext.cli import main; main(['recipes'])",
        "from snn_gan_ext.cli import main; main(['--version'])",
        "from snn_gan_ext.cli import main; main(['train', 'digit'])",
        "from snn_gan_ext.validation import check_settings",
    ],
)
def test_heavy_modules_are_imported_when_they_are_used(statement):
    assert not modules_after(statement) & HEAVY


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["evaluate", "--help"], ["fly"]], ids=" ".join
)
def test_help_and_errors_of_arguments_need_no_heavy_modules(arguments):
    code = "from snn_gan_ext.cli import main\n    try: main({})\n    except SystemExit: pass"
    assert not modules_after(code.format(arguments)) & HEAVY


def test_layers_do_not_need_the_packages_of_experiments():
    loaded = modules_after("import snn_gan_ext as sg; sg.GLMLayer(2, 3)")
    assert "torch" in loaded
    assert not loaded & {"tyro", "brian2", "tonic"} - modules_after("import snntorch")


REGISTERED = """
assert snntorch.GLMLayer is snn_gan_ext.GLMLayer
import torch
from snntorch import utils
layer = snntorch.GLMLayer(2, 3, init_hidden=True)
net = torch.nn.Sequential(torch.nn.Linear(4, 2), layer)
net(torch.rand(5, 4))
assert layer._state is not None
utils.reset(net)
print(layer._state)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import snn_gan_ext, snntorch",
        "import snntorch, snn_gan_ext",
        "import snn_gan_ext, snntorch.utils, snntorch",
        "from snn_gan_ext import GLMLayer; import snntorch, snn_gan_ext",
    ],
)
def test_layers_are_registered_in_snntorch_in_either_order_of_import(imports):
    assert run(f"{imports}\n{REGISTERED}").strip() == "None"


def test_every_public_name_is_there_and_listed():
    for name in snn_gan_ext.__all__:
        assert getattr(snn_gan_ext, name) is not None
    assert set(snn_gan_ext.__all__) <= set(dir(snn_gan_ext))


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="GLMLayr"):
        _ = snn_gan_ext.GLMLayr


@pytest.mark.parametrize(
    "statement",
    [
        "snn_gan_ext.register()",
        "from snn_gan_ext.registration import register",
        "import snn_gan_ext.registration as r; r.unregister(); r.register()",
    ],
)
def test_registration_can_be_called_before_snntorch_is_imported(statement):
    shown = run(f"import snn_gan_ext\n{statement}\nimport snntorch\nprint(snntorch.GLMLayer)")
    assert "snn_gan_ext.layers.glm.GLMLayer" in shown
