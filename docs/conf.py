"""Sphinx configuration."""

from snn_gan_ext import __version__

project = "snn_gan_ext"
author = "The snn_gan_ext developers"
copyright = "2026, the snn_gan_ext developers"
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "myst_nb",
]
html_theme = "furo"
html_title = "snn_gan_ext"
html_static_path = ["_static"]
exclude_patterns = ["_build", "jupyter_execute"]

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Shapes", "notes_style")]
napoleon_use_ivar = True

myst_enable_extensions = ["dollarmath", "colon_fence"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]
