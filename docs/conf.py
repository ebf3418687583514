"""Sphinx's configuration of these pages: `make docs`. Nothing is fetched, neither here nor by a reader's browser."""

from pathlib import Path

from sphinx.application import Sphinx

project = "animatic"
author = "the animatic developers"
copyright = author  # noqa: A001 - Sphinx's own name

extensions = ["myst_nb"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # outputs are stored in the notebook: `make notebook`
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["toc.not_included"]  # a decision is found by the table of decisions

html_theme = "furo"
html_title = "animatic"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "monokai"

_OUTSIDE = {"../README.md": "index.md", "../CHANGELOG.md": "changelog.md", "../CONTRIBUTING.md": "contributing.md"}
"""Files of the repository that are pages of the site, by their path from docs/."""


def _inside(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead links to files of the repository to the pages that show them."""
    depth = "../" * docname.count("/")
    for path, page in _OUTSIDE.items():
        source[0] = source[0].replace(f"]({depth}{path}", f"]({depth}{page}")


def setup(app: Sphinx) -> None:
    """Set the site up, as Sphinx asks of it."""
    app.connect("source-read", _inside)
