"""Scenario files: those that come with fedlab and a user's own, found by name or path, and read."""

from __future__ import annotations

import codecs
from importlib import resources
from pathlib import Path

from fedlab.errors import FedlabError, unknown

MOST_BYTES = 1 << 20
"""Of a scenario file."""
_OTHER_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def built_in() -> dict[str, Path]:
    """Return the scenarios that come with fedlab, by name (file name without ``.toml``)."""
    root = Path(str(resources.files("scenarios")))
    return {path.stem: path for path in sorted(root.rglob("*.toml"))}


def find(name_or_path: str) -> Path:
    """Return the file of a scenario given by built-in name or by path."""
    known = built_in()
    if name_or_path in known:
        return known[name_or_path]
    path = Path(name_or_path)
    try:
        if path.is_dir():
            raise FedlabError(f"{path} is a folder; a scenario is a TOML file")
        if path.exists():
            return path
    except (OSError, ValueError):  # a name that is too long, or no name of a file
        raise FedlabError(unknown("scenario", name_or_path, known)) from None
    if path.suffix == ".toml" or "/" in name_or_path:
        raise FedlabError(f"there is no scenario file {path}")
    raise FedlabError(unknown("scenario", name_or_path, known))


def text_of(path: Path) -> str:
    """Return a file's text, without the byte order mark that Windows programs put before it.

    Raises:
        FedlabError: If it cannot be read, is too long for a scenario, or is no UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise FedlabError(f"{path} is no scenario: it has more than a megabyte")
    if content.startswith(_OTHER_ENCODINGS):
        raise FedlabError(
            f"{path} is UTF-16 or UTF-32 text, as some Windows programs write it; save it as UTF-8"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FedlabError(
            f"{path} is no text file: {error.reason} in line {line}; save it as UTF-8"
        ) from error
