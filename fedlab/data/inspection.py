"""What a path of a user's holds, and a scenario to start from: ``fedlab data inspect``.

A kind of data that a source reads has an inspector: a class in ``fedlab/data/inspectors``, one file
each, registered by name. To add one, write ``fedlab/data/inspectors/sound.py``::

    from fedlab.data.inspection import Contents, Finding
    from fedlab.registry import inspectors

    @inspectors.register("sound")
    class Sound:
        \"\"\"Recordings in folders, or in a table.\"\"\"

        def claim(self, contents: Contents) -> float:
            return contents.share({".wav", ".flac"})

        def inspect(self, contents: Contents) -> Finding:
            return Finding("sound", contents.path, examples=3000, classes={"one": 300, ...},
                           facts=(("sampling rate", "8 kHz"),), scenario={"data": {...}, ...})

and a test; nothing else has to change. ``claim`` is cheap: it looks at names, suffixes and the
first bytes that ``contents`` holds, and says from 0 to 1 how surely this kind is meant; the largest
claim decides (a CSV file is claimed by a table with 0.5, and with more by whoever knows better:
texts by a column of sentences, series by a column of evenly spaced times). ``inspect`` then reads
as much as it needs. ``Finding.scenario`` holds the tables of a scenario to start from: ``data``,
which reads these files, ``model``, a network that suits them, ``client.optimizer.lr`` where that
learns at another rate than most, and ``evaluation`` where more than usual is worth it. Where
nothing in ``data`` says who a client is (``clients_by``, ``sites``), five IID clients are added;
how it is trained is added by a recipe (``fedlab/use/recipes.py``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from fedlab import registry
from fedlab.data.folders import is_left_out
from fedlab.data.names import shown
from fedlab.errors import FedlabError

HEAD = 1 << 16
"""Bytes of a single file that claims look at."""
_PATH = "data.path: "
_WHAT_TO_DO = {
    "unpack it first": {".gz", ".zip", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".rar"},
    "save the sheet as CSV": {".xlsx", ".xls", ".xlsm", ".ods", ".numbers"},
    "write it as CSV or Parquet": {
        ".feather",
        ".arrow",
        ".pkl",
        ".rds",
        ".sav",
        ".dta",
        ".sas7bdat",
    },
    "a data set in code reads it": {".npy", ".npz", ".h5", ".hdf5", ".mat", ".pt"},
}
"""How data in files of these suffixes are brought to be read."""
MOST_FILES = 20_000
"""Files whose names claims look at; a folder of more is judged by the first ones."""


class Contents:
    """A file or folder of a user's, as claims see it.

    Attributes:
        path: The file or folder.

    Raises:
        FedlabError: If there is none, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            is_there = path.exists()
        except (OSError, ValueError):  # a name that is too long, or no name of a file
            is_there = False
        if not is_there:
            raise FedlabError(f"there is no file or folder {shown(path)}")
        if not (path.is_dir() or path.is_file()):
            raise FedlabError(f"{shown(path)} is no regular file, and is not read")
        self.path = path

    @property
    def is_file(self) -> bool:
        """Return whether the path is a single file."""
        return not self.path.is_dir()

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Return the files, at most 20,000, without what is hidden."""
        if self.is_file:
            return (self.path,)
        found: list[Path] = []
        for folder, folders, names in os.walk(self.path, onerror=_refuse):
            folders[:] = sorted(name for name in folders if not is_left_out(name))
            found += [Path(folder, name) for name in sorted(names) if not is_left_out(name)]
            if len(found) >= MOST_FILES:
                break
        return tuple(found[:MOST_FILES])

    @cached_property
    def suffixes(self) -> Counter[str]:
        """Return how many files have each suffix, in lower case, with the dot."""
        return Counter(file.suffix.lower() for file in self.files)

    def share(self, suffixes: Collection[str]) -> float:
        """Return which part of the files has one of these suffixes."""
        return sum(self.suffixes[suffix] for suffix in suffixes) / max(1, len(self.files))

    def head(self, file: Path | None = None) -> bytes:
        """Return the first 64 KiB of a file, by default of the first one; nothing if unreadable."""
        chosen = file or next(iter(self.files), None)
        if chosen is None:
            return b""
        try:
            with chosen.open("rb") as opened:
                return opened.read(HEAD)
        except OSError:
            return b""


@dataclass(frozen=True)
class Finding:
    """What an inspector found.

    Attributes:
        kind: The inspector's name: "pictures", "table", ...
        path: Where.
        examples: How many examples there are.
        layout: How they are laid out, in words.
        classes: Examples of each class; {} where there are none.
        sites: Examples of each natural client; {} where the data name none.
        facts: What else a person wants to know, in order: what it is, and its value in words.
        notes: What is odd, a sentence each: unreadable files, duplicates, what a site lacks.
        details: The facts as numbers and names, for ``--json``.
        scenario: Tables of a scenario to start from; {} where no source reads such data.
        why_no_scenario: Why there is none.
    """

    kind: str
    path: Path
    examples: int
    layout: str = ""
    classes: Mapping[str, int] = field(default_factory=dict)
    sites: Mapping[str, int] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    scenario: Mapping[str, Any] = field(default_factory=dict)
    why_no_scenario: str = ""


class Inspector(Protocol):
    """What looks at one kind of a user's data; see the module's docstring."""

    def __init__(self) -> None: ...

    def claim(self, contents: Contents) -> float:
        """Return from 0 to 1 how surely these are data of this kind; this is cheap."""
        ...

    def inspect(self, contents: Contents) -> Finding:
        """Return what is there.

        Raises:
            FedlabError: If nothing of it can be read.
        """
        ...


def inspect(path: Path, kind: str | None = None) -> Finding:
    """Return what a file or folder holds.

    Args:
        path: The file or folder.
        kind: The inspector to ask; None asks the one with the largest claim.

    Raises:
        FedlabError: If there is nothing, or nothing of a kind that fedlab reads.
    """
    contents = Contents(path)
    if kind is not None:
        return _inspected(_made(kind), contents)
    # The one that claimed them looks at them: what it has read for that is not read again.
    made = {name: _made(name) for name in registry.inspectors.names()}
    claims = {name: inspector.claim(contents) for name, inspector in made.items()}
    best = max(claims, key=lambda name: claims[name])
    if claims[best] <= 0:
        raise FedlabError(
            f"{shown(path)} holds {_held(contents)}; fedlab reads {_known()}{_advice(contents)}"
        )
    return _inspected(made[best], contents)


def _inspected(inspector: Inspector, contents: Contents) -> Finding:
    """Return what an inspector found; nobody has set a key that its errors could name."""
    try:
        found = inspector.inspect(contents)
    except FedlabError as error:
        raise FedlabError(str(error).removeprefix(_PATH)) from error
    return replace(found, notes=tuple(note.removeprefix(_PATH) for note in found.notes))


def _made(name: str) -> Inspector:
    made: Inspector = registry.inspectors.get(name)()
    return made


def _held(contents: Contents) -> str:
    """Return what is there that nobody claims, in words."""
    if not contents.files:
        return "no files"
    names = [shown(suffix) or "without a suffix" for suffix, _ in contents.suffixes.most_common(5)]
    return f"nothing that is read (files: {', '.join(names)})"


def _advice(contents: Contents) -> str:
    """Return what to do with the most frequent kind of file, where that is known."""
    for suffix, _ in contents.suffixes.most_common(1):
        for advice, suffixes in _WHAT_TO_DO.items():
            if suffix in suffixes:
                return f"; {advice}"
    return ""


def _known() -> str:
    return ", ".join(registry.inspectors.names())


def _refuse(error: OSError) -> None:
    raise FedlabError(f"{shown(error.filename)} cannot be read: {error.strerror}") from error
