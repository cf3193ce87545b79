"""How `make docs` makes the site from the pages of this folder.

The pages are Markdown, and can be read where they are.  What the site has beyond them comes from
extensions/: the reference from the docstrings of the installed package, documents that stand
elsewhere in the repository, links between them, and a check of what was built.
"""

import sys
from pathlib import Path

import pyfastlock

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "pyfastlock"
author = "The pyfastlock authors"
project_copyright = author
version = release = pyfastlock.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "myst_parser",
    "docstrings",
    "python_names",
    "repository",
    "built",
]
exclude_patterns = ["extensions"]
nitpicky = True

myst_heading_anchors = 3
intersphinx_timeout = 1  # there is nothing to wait for: python_names.py says why

html_theme = "furo"
html_title = f"pyfastlock {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"  # the theme's own underlines names of modules, like links
