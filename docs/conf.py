"""Sphinx configuration: `sphinx-build -W docs OUT`. The command reference is written while it builds."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

project = "jsnas"
author = "the jsnas authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
html_theme = "furo"
html_title = "jsnas"
html_show_copyright = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autosummary_generate = True
autodoc_mock_imports = ["spandrel"]  # an extra
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_use_ivar = True
# Docstrings name types by their last word, and two modules have a class Trials.
suppress_warnings = ["ref.python"]
# What a module hands on is described where it is defined; NNI's own is left to NNI.
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}


def setup(app: Sphinx) -> None:
    """Writes what is generated before the pages are read."""
    from generated import write_generated

    app.connect("builder-inited", lambda built: write_generated(Path(built.srcdir) / "reference"))
