"""Files of JSON objects, one a line, as columns of text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedlab.data.formats.text_file import read_whole
from fedlab.data.names import class_name, shown
from fedlab.errors import FedlabError, shortened

SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
"""Of files that hold JSON objects, in lower case."""
DEEPEST = 20
"""Objects within objects."""


def read_json_lines(path: Path) -> tuple[dict[str, list[str]], list[int]]:
    """Return the columns of a file by name, and the line on which each row stands.

    A file that is one list of objects is read as well. A key that an object lacks, and null, are an
    empty field; numbers, true and false are written as JSON does. What an object within the object
    holds has a column of its own, named after both keys: ``{"shop": {"city": "Ulm"}}`` has the
    column ``shop.city``.

    Args:
        path: The file, in UTF-8: an object a line, blank lines aside.

    Raises:
        FedlabError: If a line is no JSON object, a value is a list, or two keys name one column;
            file and line are named.
    """
    text = read_whole(path)
    if text.lstrip().startswith("["):
        rows = _listed(text, shown(path))
    else:
        # Strings may hold U+2028 and other characters at which splitlines would cut.
        lines = enumerate(text.split("\n"), 1)
        rows = [(n, _object(line, f"{shown(path)}, line {n}")) for n, line in lines if line.strip()]
    if not rows:
        raise FedlabError(f"{shown(path)} is empty; each of its lines holds a JSON object")
    fields = [_fields(row, f"{shown(path)}, line {line}") for line, row in rows]
    names = dict.fromkeys(name for row in fields for name in row)
    columns = {name: [row.get(name, "") for row in fields] for name in names}
    # Where some rows have null in place of an object, its key is no column.
    outer = {name.rpartition(".")[0] for name in names} & columns.keys()
    for name in (name for name in outer if not any(columns[name])):
        del columns[name]
    return columns, [line for line, _ in rows]


def _fields(row: dict[str, Any], where: str, outer: str = "", depth: int = 0) -> dict[str, str]:
    """Return the fields of an object, and of those within it, by the name of their column."""
    if depth > DEEPEST:
        raise FedlabError(f"{where}: its objects are nested too deep")
    fields: dict[str, str] = {}
    for key, value in row.items():
        name = outer + class_name(key)
        if isinstance(value, dict):
            found = _fields(value, where, f"{name}.", depth + 1)
        else:
            found = {name: _text(value, f"{where}, key '{name}'")}
        twice = found.keys() & fields.keys()
        if twice:
            raise FedlabError(f"{where}: two of its keys name the column '{min(twice)}'")
        fields |= found
    return fields


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "it is nested too deep")
        raise FedlabError(
            f"{where}: '{shortened(line.strip())}' is no JSON ({reason}); each line holds an "
            'object, as {"text": "...", "label": "..."}'
        ) from error
    if not isinstance(found, dict):
        raise FedlabError(
            f"{where}: '{shortened(line.strip())}' is no JSON object; each line holds one, as "
            '{"text": "...", "label": "..."}'
        )
    return found


def _listed(text: str, where: str) -> list[tuple[int, dict[str, Any]]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        reason = getattr(error, "msg", "it is nested too deep")
        raise FedlabError(f"{where}, line {line}: this is no JSON ({reason})") from error
    if not all(isinstance(entry, dict) for entry in found):
        raise FedlabError(f"{where}: its list holds other things than JSON objects")
    return list(enumerate(found, 1))


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        raise FedlabError(f"{where}: a list stands where text or a number is wanted")
    return value if isinstance(value, str) else json.dumps(value)
