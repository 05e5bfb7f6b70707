"""Tables of pictures, as people have them: which columns are the file, the class, the client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fedlab.data.column_names import CALLED_CLIENT, CALLED_TARGET
from fedlab.data.formats.columns import first_columns
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.formats.table import MISSING
from fedlab.data.inspection import MOST_FILES, Contents
from fedlab.data.listed_pictures import TABLES, PictureColumns, PictureLookup
from fedlab.data.parts import role_of
from fedlab.errors import FedlabError

_CALLED_PART = re.compile(r"(split|part|parts|subset|set|partition|usage|phase)", re.IGNORECASE)
_CALLED_LABEL = re.compile(r"(category|dx|finding|word|digit|type|kind|breed)", re.IGNORECASE)
"""What classes of pictures are called, too."""
_MOST, _SOME = 0.5, 0.05
"""Of a column's fields, how many name pictures: of all files, or of the first ones of too many."""


def recognised(path: Path, lookup: PictureLookup | None = None) -> PictureColumns | None:
    """Return which columns of a table are what, or None where it lists no pictures with classes.

    Args:
        path: The table.
        lookup: The pictures in its folder and below, where somebody has looked already.
    """
    if path.suffix.lower() not in TABLES:
        return None
    columns = first_columns(Contents(path).head())
    lookup = lookup or _lookup(path.parent)
    files = next((name for name, fields in columns.items() if _names(fields, lookup)), None)
    if files is None:
        return None
    others = {name: fields for name, fields in columns.items() if name != files}
    part = next((n for n, fields in others.items() if _are_parts(n, fields)), None)
    client = next((n for n, f in others.items() if n != part and _are_clients(n, f)), None)
    label = _label([name for name in others if name not in (part, client)])
    return PictureColumns(files, label, client, part, MISSING) if label else None


def tables_in(folder: Path) -> list[tuple[Path, PictureColumns]]:
    """Return the tables right in a folder that list its pictures; one for training comes first."""
    lookup = _lookup(folder)
    tables = sorted(path for path in folder.iterdir() if path.is_file())
    found = [(path, columns) for path in tables if (columns := recognised(path, lookup))]
    return sorted(found, key=lambda pair: role_of(pair[0].stem) != "train")


def _lookup(folder: Path) -> PictureLookup:
    """Return a folder's pictures; of a folder of very many files the first ones."""
    return PictureLookup(folder, lambda: _few_pictures(folder))


def _few_pictures(folder: Path) -> list[Path]:
    try:
        files = Contents(folder).files
    except FedlabError:  # something in it is not ours to read
        return []
    return [file for file in files if file.suffix.lower() in picture_suffixes()]


def _names(fields: Sequence[str], lookup: PictureLookup) -> bool:
    """Return whether most fields name pictures that are there, as far as was looked."""
    share = sum(field in lookup for field in fields) / max(1, len(fields))
    return share > _MOST or (share > _SOME and len(Contents(lookup.folder).files) >= MOST_FILES)


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
