"""A planted bug."""

from typing import NamedTuple


class Bug(NamedTuple):
    name: str
    file: str  # below csrc/
    old: str  # stands once in the file
    new: str  # what takes its place
    scenario: str  # that finds it, in its quick limits: its name, perhaps with `--gil`
    park: str = "default"  # the way to sleep
