"""Links to the standard library's documentation, without the network.

python_names.txt lists the names that the pages link to, as `name role page`.  Sphinx wants them in
the file that the standard library's own documentation publishes, so this writes one.
"""

import zlib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

ADDRESS = "https://docs.python.org/3/"
LIST = Path(__file__).with_suffix(".txt")

HEAD = """\
# Sphinx inventory version 2
# Project: Python
# Version: 3
# The remainder of this file is compressed using zlib.
"""


def names() -> dict[str, tuple[str, str]]:
    """The role and the page of each name."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: (role, page) for name, role, page in rows}


def anchor(name: str, role: str) -> str:
    """Where a name stands on its page."""
    return f"module-{name}" if role == "py:module" else name


def inventory() -> bytes:
    """The list, as Sphinx reads it."""
    lines = [
        f"{name} {role} 1 library/{page}.html#{anchor(name, role)} -\n"
        for name, (role, page) in sorted(names().items())
    ]
    return HEAD.encode() + zlib.compress("".join(lines).encode())


def use(app: Sphinx, config: Config) -> None:
    """Write the inventory beside what is built, and let Sphinx look there alone."""
    path = Path(app.doctreedir, "python.inv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(inventory())
    config.intersphinx_mapping = {"python": (ADDRESS, str(path))}


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", use, priority=100)  # before intersphinx reads its settings
    return {"parallel_read_safe": True}
