"""How pictures are laid out: by sites, by classes, all in one folder, or listed in a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fedlab.data.folders import OwnFolder, case_notes
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.listed_pictures import PictureColumns
from fedlab.data.names import listed, shown
from fedlab.data.parts import find_parts, nothing_in, read_parts
from fedlab.data.picture_files import WHAT, in_table
from fedlab.data.picture_tables import recognised, tables_in
from fedlab.data.site_folders import FOLDER, look_like_sites, read_sites, sites_in
from fedlab.errors import FedlabError

_KEY = "data.path"


class PictureLayout(NamedTuple):
    """How pictures are laid out.

    Attributes:
        layout: In words.
        rows: Every file, its class, its site, and whether it is in a part that is held out.
        notes: What is odd.
        keys: Keys of ``[data]`` that read them.
    """

    layout: str
    rows: list[tuple[Path, str, str, bool]]
    notes: tuple[str, ...]
    keys: dict[str, Any]


def layout_of(path: Path) -> tuple[Path, PictureLayout, tuple[str, ...]]:
    """Return what says what pictures there are, how they are laid out, and notes.

    Args:
        path: A folder, a picture in one, or a table.

    Returns:
        The folder that counts, or a table in it, the layout, and what is odd about the choice.

    Raises:
        FedlabError: If there are no pictures, or the folders are ambiguous.
    """
    columns = recognised(path) if path.is_file() else None
    if columns is not None:
        return path, _listed(path, columns), ()
    path = path.parent if path.is_file() else path
    tables = tables_in(path)
    try:
        own, outer = _outer(OwnFolder(path, picture_suffixes(), _KEY))
        laid = _laid(own)
    except FedlabError:
        if not tables:
            raise
        return _by_table(tables)
    classes = {label for _, label, _, _ in laid.rows if label}
    if tables:
        chosen, listing, notes = _by_table(tables)
        # Where both say the same, the folders need no further key.
        if {label for _, label, _, _ in listing.rows} != classes:
            return chosen, listing, notes
    return own.root, laid, outer


def _by_table(
    tables: Sequence[tuple[Path, PictureColumns]],
) -> tuple[Path, PictureLayout, tuple[str, ...]]:
    """Return the first of several tables, and what it lists."""
    chosen, columns = tables[0]
    others = listed(shown(other.name) for other, _ in tables[1:])
    note = f"'{shown(chosen.name)}' says what the pictures are"
    note += f", and {others}, which is not read" if others else ""
    return chosen, _listed(chosen, columns), (note,)


def _listed(path: Path, columns: PictureColumns) -> PictureLayout:
    """Return how pictures are laid out that a table lists."""
    found = in_table(path, columns, _KEY)
    names = found.names or ("",)
    rows = [
        (file, label, names[site], is_test)
        for part, is_test in ((found.train, False), (found.test, True))
        for file, label, site in part
    ]
    keys = {
        "path_column": columns.path,
        "label_column": columns.label,
        "clients_by": columns.client,
        "part_column": columns.part,
        "on_error": "skip" if found.faults else None,
    }
    notes = found.notes
    if found.faults:
        more = f" ({len(found.faults)} such rows)" if len(found.faults) > 1 else ""
        notes += (f"{found.faults[0]}{more}; data.on_error = 'skip' leaves such out",)
    return PictureLayout("a table", rows, notes, {k: v for k, v in keys.items() if v is not None})


def _outer(own: OwnFolder) -> tuple[OwnFolder, tuple[str, ...]]:
    """Return the folder that counts: within one that holds nothing but another, the inner one."""
    notes: tuple[str, ...] = ()
    while len(folders := _with_pictures(own, own.root)) == 1 and _holds_folders(own, folders[0]):
        notes = (f"{shown(own.root)} holds one folder, '{shown(folders[0].name)}': that is it",)
        own = own.inside(folders[0])
    return own, notes


def _with_pictures(own: OwnFolder, place: Path) -> list[Path]:
    return [folder for folder in own.inside(place).folders() if own.inside(folder).files()]


def _holds_folders(own: OwnFolder, folder: Path) -> bool:
    return len(_with_pictures(own, folder)) > 0


def _laid(own: OwnFolder) -> PictureLayout:
    """Return how a folder is laid out: by sites, by classes, or neither."""
    place = find_parts(own)
    if look_like_sites(own):
        sites, notes = sites_in(own)
        found = read_sites(sites, own.key, WHAT)
        rows = [(f, c, found.names[n], False) for f, c, n in found.train]
        rows += [(f, c, found.names[n], True) for f, c, n in found.test]
        where = "<part>/<site>/<class>" if place.test else "<site>/<class>"
        if not place.test and found.test:
            where = "<site>/<part>/<class>"
        return PictureLayout(where, rows, (*notes, *found.notes), {"clients_by": FOLDER})
    if len(_with_pictures(own, place.train)) < 2:
        # Files beside folders count here: looked for anew, they are not left out.
        whole = OwnFolder(own.root, own.suffixes, own.key)
        rows = [(file, "", "", False) for file in whole.files()]
        if not rows:
            raise nothing_in(own, own.root, WHAT)
        return PictureLayout("no class folders", rows, whole.notes(), {"task": "reconstruction"})
    files = read_parts(own, place, WHAT)
    rows = [(f, c, "", False) for f, c in zip(*files.train, strict=True)]
    rows += [(f, c, "", True) for f, c in zip(*(files.test or ((), ())), strict=True)]
    notes = (*place.notes, *own.notes(), *case_notes(files.classes, own.key))
    return PictureLayout("<part>/<class>" if files.test else "<class>", rows, notes, {})
