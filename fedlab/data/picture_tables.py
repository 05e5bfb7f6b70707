"""Tables of pictures, as people have them: which columns are the file, the class, the client."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from fedlab.data.column_names import CALLED_CLIENT, CALLED_TARGET
from fedlab.data.formats.delimited import decode, find_separator
from fedlab.data.formats.table import MISSING
from fedlab.data.listed_pictures import TABLES, PictureColumns, PictureLookup
from fedlab.data.names import class_name
from fedlab.data.parts import role_of
from fedlab.errors import FedlabError

HEAD = 1 << 16
"""Bytes of a table that are looked at."""
_CALLED_PART = re.compile(r"(split|part|parts|subset|set|partition|usage|phase)", re.IGNORECASE)
_CALLED_LABEL = re.compile(r"(category|dx|finding|word|digit|type|kind|breed)", re.IGNORECASE)
"""What classes of pictures are called, too."""

Columns = dict[str, list[str]]


def recognised(path: Path) -> PictureColumns | None:
    """Return which columns of a table are what, or None where it lists no pictures with classes.

    Pictures are looked for in its folder and below.
    """
    if path.suffix.lower() not in TABLES:
        return None
    try:
        columns = _columns(path)
        lookup = PictureLookup(path.parent, "data.path")
        files = next((name for name, fields in columns.items() if _names(fields, lookup)), None)
    except (FedlabError, OSError, csv.Error, ValueError):
        return None
    if files is None:
        return None
    others = {name: fields for name, fields in columns.items() if name != files}
    part = next((n for n, fields in others.items() if _are_parts(n, fields)), None)
    client = next((n for n, f in others.items() if n != part and _are_clients(n, f)), None)
    label = _label([name for name in others if name not in (part, client)])
    return PictureColumns(files, label, client, part, MISSING) if label else None


def tables_in(folder: Path) -> list[tuple[Path, PictureColumns]]:
    """Return the tables right in a folder that list its pictures; one for training comes first."""
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []
    found = [(path, columns) for path in files if (columns := recognised(path)) is not None]
    return sorted(found, key=lambda pair: role_of(pair[0].stem) != "train")


def _columns(path: Path) -> Columns:
    """Return the fields of each column in the first lines of a table."""
    with path.open("rb") as opened:
        head = opened.read(HEAD)
    text, _ = decode(head, "")
    header, *rows = csv.reader(io.StringIO(text), delimiter=find_separator(text))
    # The last line may be cut.
    rows = [row for row in (rows[:-1] or rows) if len(row) == len(header)]
    names = [class_name(name) for name in header]
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(names) if name}


def _names(fields: Sequence[str], lookup: PictureLookup) -> bool:
    """Return whether most fields name pictures that are there."""
    return bool(fields) and sum(field in lookup for field in fields) > len(fields) / 2


def _are_parts(name: str, fields: Sequence[str]) -> bool:
    return _CALLED_PART.fullmatch(name) is not None and all(role_of(field) for field in fields)


def _are_clients(name: str, fields: Sequence[str]) -> bool:
    return CALLED_CLIENT.search(name) is not None and 1 < len({*fields}) < max(3, len(fields))


def _label(names: Sequence[str]) -> str | None:
    """Return the column that is probably the class; the only one is."""
    for called in (CALLED_TARGET, _CALLED_LABEL):
        for name in names:
            if called.fullmatch(name):
                return name
    return names[0] if len(names) == 1 else None
