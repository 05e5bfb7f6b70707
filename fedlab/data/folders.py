"""Folders of a user's own files with a subfolder for each class: what is taken, what is left out.

Training, evaluation and prediction all look at folders through this file, by one rule: what is
hidden, what an operating system leaves behind, and files of other suffixes are left out and
counted; everything else below a class's folder is an example of it, however deep.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from fedlab.data.names import class_name, listed, lookalikes, shown
from fedlab.errors import FedlabError

_LEFT_BEHIND = frozenset({"__macosx", "$recycle.bin", "system volume information", "@eadir"})
"""Folders that macOS, Windows and file servers leave behind, in lower case."""
_CIRCLE = "links to folders that are read already"
_KINDS_LISTED = 8

Identity = tuple[int, int]


class Labelled(NamedTuple):
    """The files of each class; a class may have none."""

    classes: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]

    def flat(self, among: Collection[str] | None = None) -> tuple[list[Path], list[str]]:
        """Return all files and the class of each, in order; ``among`` chooses classes."""
        pairs = [
            (file, name)
            for name, files in zip(self.classes, self.files, strict=True)
            if among is None or name in among
            for file in files
        ]
        return [file for file, _ in pairs], [name for _, name in pairs]


class OwnFolder:
    """A folder of a user's own files, and a record of what was left out of it.

    Args:
        root: The folder.
        suffixes: Of the files that are wanted, in lower case, with the dot.
        key: The scenario's key or the option that names it, for messages.

    Raises:
        FedlabError: If there is no such folder.
    """

    def __init__(self, root: Path, suffixes: Collection[str], key: str) -> None:
        if not root.is_dir():
            raise FedlabError(f"{key}: there is no folder {shown(root)}")
        self.root = root
        self.key = key
        self.suffixes = suffixes
        self._left_out: dict[str, tuple[str, int]] = {}

    def labelled(self, place: Path | None = None) -> Labelled:
        """Return the files in the subfolders of ``place``, by class.

        Args:
            place: The folder itself, by default, or one of its parts.

        Raises:
            FedlabError: If a folder cannot be read, or two folders stand for one class.
        """
        place = place or self.root
        above = _above(place) | {_identity(self.root)}
        named: dict[str, Path] = {}
        owners: dict[Identity, Path] = {}
        for folder in self.folders(place):
            if (identity := _identity(folder)) in above:
                self._leave_out(folder, _CIRCLE)
                continue
            self._check_apart(folder, named.get(class_name(shown(folder.name))))
            if (twin := owners.get(identity)) is not None:
                raise FedlabError(
                    f"{self.key}: {shown(twin)} and {shown(folder)} are one folder, and cannot be "
                    "two classes"
                )
            named[class_name(shown(folder.name))] = owners[identity] = folder
        visited = above | owners.keys()
        found = [(name, tuple(self._walk(named[name], visited))) for name in sorted(named)]
        return Labelled(tuple(name for name, _ in found), tuple(files for _, files in found))

    def files(self) -> list[Path]:
        """Return all files of this folder that are wanted, whatever subfolder they are in."""
        return list(self._walk(self.root, _above(self.root)))

    def folders(self, place: Path | None = None) -> list[Path]:
        """Return the subfolders that are not hidden; the files beside them are left out."""
        found = []
        for entry in self._entries(place or self.root):
            if _is_folder(entry):
                found.append(Path(entry))
            else:
                self._leave_out(Path(entry), self._kind(entry))
        return found

    def inside(self, folder: Path) -> OwnFolder:
        """Return a subfolder, looked at by the same rule with a record of its own."""
        return OwnFolder(folder, self.suffixes, self.key)

    def add_record_of(self, other: OwnFolder) -> None:
        """Take over the record of what was left out of another folder."""
        self._left_out.update(other._left_out)

    def leave_out_all(self, folder: Path) -> None:
        """Record the wanted files below a folder as left out."""
        for file in self.inside(folder).files():
            self._leave_out(file, f"in '{shown(folder.name)}'")

    @property
    def left_out(self) -> str:
        """Return what was left out so far, by suffix and count, or an empty string."""
        counts: Counter[str] = Counter()
        for kind, count in self._left_out.values():
            counts[kind] += count
        if not counts.total():
            return ""
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        parts = [f"{kind} × {count}" for kind, count in ranked[:_KINDS_LISTED]]
        if rest := sum(count for _, count in ranked[_KINDS_LISTED:]):
            parts.append(f"others × {rest}")
        total = counts.total()
        return f"left out {total} file{'s' if total > 1 else ''}: {', '.join(parts)}"

    def notes(self, classes: Collection[str] = ()) -> tuple[str, ...]:
        """Return what the user should know of what was read."""
        told = [f"{self.key}: {self.left_out}"] if self.left_out else []
        return (*told, *case_notes(classes, self.key))

    def _leave_out(self, path: Path, kind: str, count: int = 1) -> None:
        self._left_out[str(path)] = kind, count

    def _check_apart(self, folder: Path, other: Path | None) -> None:
        """Refuse a class folder whose name is blank, or like another's but for spaces."""
        if not class_name(shown(folder.name)):
            raise FedlabError(f"{self.key}: a class folder in {shown(folder.parent)} has no name")
        if other is not None:
            raise FedlabError(
                f"{self.key}: {shown(folder.parent)} holds the folders '{shown(other.name)}' and "
                f"'{shown(folder.name)}', which nobody can tell apart; rename one, or merge them"
            )

    def _walk(self, top: Path, visited: set[Identity]) -> Iterator[Path]:
        """Yield the wanted files below ``top``, in the order of their paths.

        Args:
            top: Where to begin.
            visited: The folders that are not entered again: links may lead in circles.
        """
        waiting, found = [top], []
        while waiting:
            for entry in self._entries(waiting.pop()):
                path = Path(entry)
                if not _is_folder(entry):
                    if _is_file(entry) and path.suffix.lower() in self.suffixes:
                        found.append(path)
                    else:
                        self._leave_out(path, self._kind(entry))
                elif (identity := _identity(path)) not in visited:
                    visited.add(identity)
                    waiting.append(path)
                else:
                    self._leave_out(path, _CIRCLE)
        yield from sorted(found)

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """Yield a folder's entries by name; what is hidden is left out."""
        try:
            with os.scandir(folder) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise FedlabError(
                f"{self.key}: {shown(folder)} cannot be read: {error.strerror}"
            ) from error
        for entry in ordered:
            kind = _hidden_kind(entry.name)
            if kind is None:
                yield entry
            elif entry.is_dir(follow_symlinks=False):
                count = sum(len(files) for _, _, files in os.walk(entry))
                self._leave_out(Path(entry), kind, count)
            else:
                self._leave_out(Path(entry), kind)

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """Return as what a file counts that is left out."""
        if not _is_file(entry):
            return "broken links and devices"
        suffix = Path(entry).suffix.lower()
        beside = " beside the folders" if suffix in self.suffixes else ""
        return (shown(suffix) if suffix.strip(".") else "without a suffix") + beside


def case_notes(classes: Collection[str], key: str) -> tuple[str, ...]:
    """Return a note on classes whose names differ in case alone, if there are any."""
    pairs = lookalikes(classes)
    if not pairs:
        return ()
    shown_pairs = "; ".join(listed(pair) for pair in pairs[:3])
    return (f"{key}: classes that look alike are learned as different ones: {shown_pairs}",)


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is left out: hidden, or a system's own."""
    return _hidden_kind(name) is not None


def _hidden_kind(name: str) -> str | None:
    """Return as what an entry counts that is left out for its name alone, or None."""
    if name.startswith("."):
        return "hidden"
    return name if name.lower() in _LEFT_BEHIND else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _above(folder: Path) -> set[Identity]:
    """Return the folders that a link must not lead back to: a folder and those that it is in."""
    real = folder.resolve()
    return {_identity(place) for place in (real, *real.parents)}


def _identity(folder: Path) -> Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino
