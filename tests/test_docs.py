"""Code and commands in the README and the documentation work.

Pages with ``{code-cell}`` run when the documentation is built. Here the plain blocks run, each in a
namespace of its own, and commands are parsed.
"""

import os
import re
import shlex
from pathlib import Path

import pytest

from snn_gan_ext import cli
from snn_gan_ext.datasets import DATA_VARIABLE
from snn_gan_ext.experiments.measures import MEASURES
from snn_gan_ext.experiments.recipes import RECIPES, SUMMARIES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
]
BLOCK = re.compile(r"(?:<!-- needs (.+?) -->\n)?```python\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"snn-gan-ext train ([\w-]+)([^`\n#&]*)")
PLACEHOLDERS = {"S": "0", "R": "1e-2", "B": "batch_mean"}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def python_blocks():
    for page in PAGES:
        for place, (needs, code) in enumerate(BLOCK.findall(page.read_text())):
            yield pytest.param(needs, code, id=f"{name_of(page)}-{place}")


def train_commands():
    found = {match for page in PAGES for match in COMMAND.findall(page.read_text())}
    for recipe, options in sorted(found):
        if recipe in SUMMARIES and "--help" not in options:
            yield pytest.param(recipe, options, id=f"{recipe}{options}".strip())


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder in which ``~/data`` has recordings, where there are any."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    recordings = Path(os.environ.get(DATA_VARIABLE, ROOT / "none")).resolve() / "nmnist-small"
    if recordings.is_dir():
        (tmp_path / "data").symlink_to(recordings)
    return tmp_path


@pytest.mark.parametrize(("needs", "code"), [*python_blocks()])
def test_a_python_block_runs(needs, code, home):
    for package in ("brian2", "tonic"):
        if re.search(rf"import {package}|{package}\.|simulated_neurons|open_recordings", code):
            pytest.importorskip(package, reason=f"{package} is not installed")
    if "trained run" in needs:
        pytest.skip(f"needs {needs}")
    if "recordings" in needs and not (home / "data").exists():
        pytest.skip(f"needs {needs}: {DATA_VARIABLE} names no folder of them")
    exec(compile(re.sub(r"updates=\d+", "updates=3", code), "block", "exec"), {})


@pytest.mark.parametrize(("recipe", "options"), [*train_commands()])
def test_a_command_has_no_unknown_options(recipe, options):
    arguments = [PLACEHOLDERS.get(word, word) for word in shlex.split(options)]
    cli._parse_train(RECIPES[recipe], recipe, arguments)


def test_the_first_tutorial_needs_one_import_of_the_package():
    page = (DOCS / "tutorials" / "first_generator.md").read_text()
    assert set(re.findall(r"^[ \t]*(?:import|from) snn_gan_ext.*$", page, re.MULTILINE)) == {
        "import snn_gan_ext as sg"
    }


def test_all_recipes_and_measures_are_explained():
    page = (DOCS / "recipes.md").read_text()
    missing = [name for name in MEASURES if f"`{name}`" not in page]
    missing += [name for name in SUMMARIES if f"`{name}`" not in page]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+?)(?:#[\w-]*)?\)", text)
    local = [target for target in targets if not target.startswith("http")]
    assert [target for target in local if not (page.parent / target).exists()] == []
