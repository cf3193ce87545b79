"""A check of the pages that were built.

Every link leads somewhere, and a browser loads nothing from elsewhere.  It runs offline: other
sites are not asked whether they have an address, but only those of OTHERS may be linked to.
"""

import re
import urllib.parse
from html.parser import HTMLParser
from pathlib import Path

import python_names
from sphinx.application import Sphinx
from sphinx.util import logging

import pyfastlock

logger = logging.getLogger(__name__)

OTHERS = {"docs.python.org", "keepachangelog.com", "semver.org", "github.com"}
FOREIGN = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')]*)")


class Page(HTMLParser):
    """What a page has: anchors, links, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        if "href" in values:
            (self.links if tag == "a" else self.loaded).append(values["href"])
        self.loaded += [values[name] for name in ("src", "srcset", "data") if name in values]


def dead(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of the page at *path* leads nowhere."""
    address = urllib.parse.urlsplit(link)
    if address.scheme or address.netloc:
        return address.netloc not in OTHERS
    target = path
    if address.path:
        target = (path.parent / urllib.parse.unquote(address.path)).resolve()
    anchor = urllib.parse.unquote(address.fragment)
    unknown = anchor and target in pages and anchor not in pages[target].anchors
    return bool(unknown) or not target.is_file()


def faults(folder: Path) -> list[str]:
    """What is wrong with the pages in *folder*."""
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        found += [f"{name}: a dead link: {link}" for link in page.links if dead(path, link, pages)]
        for link in page.loaded:
            if urllib.parse.urlsplit(link).netloc:
                found.append(f"{name}: comes from elsewhere: {link}")
            elif dead(path, link, pages):
                found.append(f"{name}: is not there: {link}")
    for path in folder.rglob("*.css"):
        for address in FOREIGN.findall(path.read_text(encoding="utf-8")):
            found.append(f"{path.relative_to(folder)}: comes from elsewhere: {address}")
    linked = {link.partition("#")[2] for page in pages.values() for link in page.links}
    for name, (role, _) in python_names.names().items():
        if python_names.anchor(name, role) not in linked:
            found.append(f"python_names.txt: nothing links to {name}")
    return found


def missing(folder: Path) -> list[str]:
    """What is public, and not in the reference."""
    anchors = Page(folder / "reference.html").anchors
    wanted = {f"pyfastlock.{name}" for name in pyfastlock.__all__}
    for name in pyfastlock.__all__:
        value = getattr(pyfastlock, name)
        if isinstance(value, type) and value.__module__ == "pyfastlock":
            members = [member for member in vars(value) if not member.startswith("_")]
            wanted.update(f"pyfastlock.{name}.{member}" for member in members)
    return sorted(wanted - anchors)


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        folder = Path(app.outdir).resolve()
        for fault in faults(folder) + [f"reference.html lacks {name}" for name in missing(folder)]:
            logger.warning(fault)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
