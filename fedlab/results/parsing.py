"""One way to read a file of a run folder: checked once, and every damage is one sentence.

Files are untrusted: cut by a full disk, edited, or a stranger's. pydantic's parser refuses what is
no JSON, no UTF-8 or nested too deeply; the row classes refuse wrong types, bounds and lengths.
"""

from __future__ import annotations

import codecs
import reprlib
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, JsonValue, RootModel, ValidationError

from fedlab.errors import FedlabError, one_line

M = TypeVar("M", bound=BaseModel)

_DEEPEST = 100
"""How deeply tables and lists of a file may be nested; fedlab's own are a tenth of it."""


class Anything(RootModel[dict[str, JsonValue]]):
    """A JSON object of any content."""


def read_object(path: Path, kind: type[M], without: str = "") -> M | None:
    """Return the object that a JSON file holds, or None where there is no such file.

    Args:
        path: The file.
        kind: Its model.
        without: What is possible without the file, for the error's last half-sentence.

    Raises:
        FedlabError: If the file cannot be read or holds anything else.
    """
    content = read_bytes(path)
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        hint = f"; without that file {without}" if without else ""
        raise FedlabError(f"{_described(error, str(path))}{hint}") from error


def read_lines(path: Path, kind: type[M], without: str = "") -> Iterator[M]:
    """Yield the lines of a JSON Lines file, except a half-written last one.

    Raises:
        FedlabError: If the file cannot be read or a line holds anything else; see `read_object`.
    """
    file = open_regular(path)
    if file is None:
        return
    with file:
        for number, line in enumerate(file, start=1):
            found = parsed_line(line, kind, path, number, without)
            if found is not None:
                yield found


def parsed_line(line: bytes, kind: type[M], path: Path, number: int, without: str = "") -> M | None:
    """Return what a line of a JSON Lines file says; None of an empty or a half-written one.

    Args:
        line: The line, with its end unless it is the file's last one.
        kind: Its model.
        path: The file.
        number: The line's number, from 1 on.
        without: What is possible without the file, for the error's last half-sentence.

    Raises:
        FedlabError: If the line holds anything else.
    """
    if not line.strip():
        return None
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        if not line.endswith(b"\n") and _is_no_json(error):
            return None  # the run was killed, or the disk was full, while it was written
        hint = f"; without that file {without}" if without else ""
        raise FedlabError(f"{_described(error, str(path), number)}{hint}") from error


def read_toml(path: Path, kind: type[M]) -> tuple[str, M]:
    """Return the text of a TOML file, and what it says.

    Raises:
        FedlabError: If the file is missing, cannot be read or holds anything else.
    """
    content = read_bytes(path)
    if content is None:
        raise FedlabError(f"there is no file {path}")
    try:
        text = content.decode()
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FedlabError(f"{path}, line {line}: this is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        reason = "its values are nested too deeply" if isinstance(error, RecursionError) else error
        raise FedlabError(f"{path}: this is not TOML: {reason}") from error
    if _depth(table) > _DEEPEST:
        raise FedlabError(f"{path}: its values are nested too deeply")
    try:
        return text, kind.model_validate(table)
    except ValidationError as error:
        raise FedlabError(_described(error, str(path))) from error


def read_bytes(path: Path) -> bytes | None:
    """Return a file's content without a byte order mark, or None where there is no such file.

    Raises:
        FedlabError: If it cannot be read.
    """
    file = open_regular(path)
    if file is None:
        return None
    try:
        with file:
            return file.read().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error


def open_regular(path: Path) -> IO[bytes] | None:
    """Return a file that is open for reading, or None where there is no such file.

    Raises:
        FedlabError: If it is no regular file, or cannot be opened.
    """
    try:
        # A pipe or a device in its place would be waited for, or be read for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise FedlabError(f"{path} is not a regular file")
        return path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FedlabError(f"{path} cannot be read: {error.strerror or error}") from error


def _described(error: ValidationError, where: str, line: int | None = None) -> str:
    """Return the first problem with a file, or one of its lines, in one sentence."""
    where += f", line {line}" if line is not None else ""
    first: Any = error.errors(include_url=False)[0]
    kind, key = first["type"], one_line(".".join(str(part) for part in first["loc"]))
    if kind == "json_invalid":
        reason, _, place = str(first["ctx"]["error"]).rpartition(" at line ")
        found, _, column = place.partition(" column ")
        where += f", line {found}" if line is None else ""
        return f"{where}: this is not JSON: {reason} at column {column}"
    if kind in ("model_type", "model_attributes_type", "dict_type") and not key:
        return f"{where}: a JSON object belongs here"
    if kind == "value_error":
        # A model's own objection begins with the key.
        found, _, reason = str(first["ctx"]["error"]).partition(": ")
        return f"{where}, key '{found}': {reason}"
    if kind == "missing":
        return f"{where}, key '{key}': it is missing"
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where}, key '{key}': {message}, not {reprlib.repr(first['input'])}"


def _is_no_json(error: ValidationError) -> bool:
    return error.errors(include_url=False)[0]["type"] == "json_invalid"


def _depth(value: Any) -> int:
    """Return how deeply lists and tables are nested, level by level."""
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [
            inner for part in level for inner in (part.values() if isinstance(part, dict) else part)
        ]
    return depth
