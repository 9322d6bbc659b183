"""How Sphinx builds the site: ``make docs``. No network is asked, and every warning is an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import pontryagin

project = "pontryagin"
author = "the pontryagin authors"
copyright = "2026, the pontryagin authors"
version = release = pontryagin.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    # of this folder, docs/_ext
    "mathml",
    "docstrings",
    "problem_pages",
    "command_pages",
    "measured",
]
exclude_patterns = [
    "_build",
    "_ext",
    "environments/notes",
    *(f"generated/{folder}" for folder in ("tables", "fields", "results")),
]
nitpicky = False

html_theme = "furo"
html_title = f"pontryagin {version}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_use_ivar = True
napoleon_numpy_docstring = False
# make docs-links: not part of the build, it asks the network.
linkcheck_timeout = 20
linkcheck_retries = 2
