"""Sphinx configuration."""

import os
import pkgutil
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

import snn_gan_ext
from snn_gan_ext import __version__

project = "snn_gan_ext"
author = "The snn_gan_ext developers"
copyright = "2026, the snn_gan_ext developers"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
]
html_theme = "furo"
html_title = "snn_gan_ext"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
templates_path = ["api/_templates"]
exclude_patterns = ["_build", "jupyter_execute", "api/_templates"]

default_role = "py:obj"
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "notes_style")]
napoleon_use_ivar = True

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]


def _modules(package: str, folder: Path) -> dict[str, list[str]]:
    """List the public modules of a package and, recursively, of the packages inside it."""
    found = [m for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")]
    rooms = {package: [module.name for module in found if not module.ispkg]}
    for module in found:
        if module.ispkg:
            rooms |= _modules(f"{package}.{module.name}", folder / module.name)
    return rooms


# Pages of rooms that are gone would be built as orphans.
shutil.rmtree(Path(__file__).parent / "api" / "generated", ignore_errors=True)
autosummary_context = {"rooms": _modules("snn_gan_ext", Path(snn_gan_ext.__file__).parent)}


def _quiet_kernel() -> str:
    """Write an IPython profile that shows floats with four digits."""
    folder = Path(tempfile.mkdtemp(prefix="snn_gan_ext_docs_"))
    profile = folder / "profile_default"
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text(
        "c = get_config()\n"
        "c.PlainTextFormatter.float_precision = '%.4g'\n"
        "c.HistoryManager.enabled = False\n"
    )
    return str(folder)


os.environ["IPYTHONDIR"] = _quiet_kernel()
os.environ["OMP_NUM_THREADS"] = "1"  # the networks are small: more threads get in each other's way


def _mathml(self: Any, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    block = isinstance(node, nodes.math_block)
    # Docutils knows \bigl and its kin, but not a plain \big.
    formula = re.sub(r"\\([bB]igg?)(?![a-zA-Z])", r"\\\1l", node.astext())
    try:
        formula = tex2mathml(formula, as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning("%s: %s", node.astext(), error, location=node)
        formula = f"<code>{self.encode(node.astext())}</code>"
    self.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def _refuse_addresses(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of output that shows an object's address, as it differs from build to build."""
    for block in doctree.findall(nodes.literal_block):
        if re.search(r" at 0x[0-9a-f]{6,}", block.astext()):
            logging.getLogger(__name__).warning("output shows an object's address", location=block)


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas and the check of outputs."""
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
    app.connect("doctree-read", _refuse_addresses)
