"""Finding the run folders and sweeps below a folder, and no others: links are not followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from fedlab import files
from fedlab.errors import FedlabError

DEEPEST = 4
"""Levels of folders that are looked into."""
MOST = 20_000
"""Folders that are looked into."""
ITSELF = "."
"""What the folder itself goes by, where it is a run's or a sweep's."""


@dataclass
class Found:
    """What a folder holds, by the path below it, in letters that an address may have.

    Attributes:
        runs: The run folders.
        sweeps: The folders of sweeps.
        links: How many links there are, which were not followed.
        is_cut: Whether there are more folders than were looked into.
    """

    runs: dict[str, Path] = field(default_factory=dict)
    sweeps: dict[str, Path] = field(default_factory=dict)
    links: int = 0
    is_cut: bool = False


def find(root: Path) -> Found:
    """Return the run folders and sweeps at or below a folder.

    Raises:
        FedlabError: If the folder cannot be read.
    """
    found = Found()
    looked = 0
    level = [root]
    for depth in range(DEEPEST + 1):
        below: list[Path] = []
        for path in level:
            looked += 1
            if looked > MOST:
                found.is_cut = True
                return found
            if (path / files.SCENARIO).is_file():
                found.runs[_name(path, root)] = path
                continue
            if (path / files.SWEEP).is_file():
                found.sweeps[_name(path, root)] = path
            if depth < DEEPEST:
                below += _folders(path, found)
            if path == root and not os.access(root, os.R_OK | os.X_OK):
                raise FedlabError(f"{root} cannot be read")
        level = below
    return found


def check_without_links(path: Path) -> None:
    """Check that no file of a run folder is a link: it could lead to any file of this machine.

    Raises:
        FedlabError: If one is, or the folder is gone.
    """
    for folder in (path, path / files.PLOTS):
        try:
            if folder.is_symlink():
                raise FedlabError(f"{folder} is a link, which the live view does not follow")
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise FedlabError(
                            f"{entry.path} is a link, which the live view does not follow; put "
                            "the file itself there"
                        )
        except FileNotFoundError as error:
            if folder == path:
                raise FedlabError(f"there is no run folder {path} any more") from error
        except OSError as error:
            raise FedlabError(f"{folder} cannot be read: {error.strerror or error}") from error


def shown(name: str) -> str:
    """Return a file's name as text; bytes that are none become question marks."""
    return name.encode(errors="replace").decode()


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root)
    return quote(os.fsencode(relative), safe="/") if relative != Path() else ITSELF


def _folders(path: Path, found: Found) -> Iterator[Path]:
    """Yield the folders in a folder, newest last; count the links."""
    try:
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return  # gone meanwhile, or another user's
    for entry in listed:
        if entry.name.startswith("."):
            continue
        try:
            if entry.is_symlink():
                found.links += entry.is_dir()
            elif entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)
        except OSError:
            continue
