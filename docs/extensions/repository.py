"""Links that lead to the right place both in a checkout and in the site.

A document links to files of the repository, relative to its own folder.  In the site some of them
are pages: those of this folder, and those that a page includes.  All others are there to download.
"""

import functools
import os
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent

INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)
CODE_OR_LINK = re.compile(
    r"^```.*?^```$|`[^`\n]+`(?!\])|(?<=\]\()[^)\s]+(?=\))", re.MULTILINE | re.DOTALL
)


@functools.cache
def pages() -> dict[Path, Path]:
    """The page of each document that the site has."""
    found = {}
    for page in sorted(DOCS.rglob("*.md")):
        found[page] = page
        for included in INCLUDE.findall(page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / included).resolve(), page)
    return found


def rewritten(text: str, document: Path, page: Path) -> str:
    """The text of *document*, with links that are right on *page*."""

    def replacement(match: re.Match[str]) -> str:
        link = match.group()
        if link.startswith(("`", "#")) or re.match(r"[a-z]+:", link):
            return link
        path, hash_, anchor = link.partition("#")
        target = (document.parent / path).resolve()
        if not target.is_file():
            logger.warning("%s: there is no file %s", document, link)
        target = pages().get(target, target)
        return os.path.relpath(target, page.parent) + hash_ + anchor

    return CODE_OR_LINK.sub(replacement, text)


def read(app: Sphinx, docname: str, content: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        content[0] = rewritten(content[0], path, path)


def included(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    # MyST says the page's name without its folder, so docname is of no use.
    document = (DOCS / path).resolve()
    content[0] = rewritten(content[0], document, Path(app.env.doc2path(app.env.docname)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", read)
    app.connect("include-read", included)
    return {"parallel_read_safe": True}
