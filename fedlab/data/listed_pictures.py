"""Pictures that a table lists: a row a picture, with its file, its class, its client, its part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fedlab.data.folders import OwnFolder, case_notes
from fedlab.data.formats.columns import Table, read_table
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.formats.table import is_missing
from fedlab.data.names import shown
from fedlab.data.parts import role_of
from fedlab.errors import FedlabError

TABLES = (".csv", ".tsv", ".txt")
"""Suffixes of tables that list pictures."""


class PictureColumns(NamedTuple):
    """The columns of a table, and the words in them that stand for nothing; None: there is none."""

    path: str
    label: str | None
    client: str | None = None
    part: str | None = None
    missing: Collection[str] = ()

    @property
    def named(self) -> list[str]:
        """Return those that there are."""
        columns = (self.path, self.label, self.client, self.part)
        return [column for column in columns if column is not None]


class ListedPicture(NamedTuple):
    """A picture's file, its class, and whose it is; "" where no column says that."""

    file: Path
    label: str
    client: str


class ListedPictures(NamedTuple):
    """The pictures of a table.

    Attributes:
        train: Those to learn from.
        test: Those of the part that is held out.
        has_test: Whether a column holds a part out.
        faults: A sentence for each row whose picture is not there, or of which a field is empty.
        notes: What the user should know.
    """

    train: list[ListedPicture]
    test: list[ListedPicture]
    has_test: bool
    faults: list[str]
    notes: tuple[str, ...]


class PictureLookup:
    """The pictures below a folder, by what a table may call them.

    A name is a path from the folder; or the name of a file in whichever folder below, with its
    suffix or without, as ``ISIC_0024306`` stands for ``images/part 1/ISIC_0024306.jpg``.

    Args:
        folder: The folder.
        pictures: Returns its pictures; called where a name is no path.
    """

    def __init__(self, folder: Path, pictures: Callable[[], Iterable[Path]]) -> None:
        self.folder, self._pictures = folder, pictures

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for file in self._pictures():
            within = file.relative_to(self.folder)
            names = {file.name, file.stem, within.as_posix(), within.with_suffix("").as_posix()}
            for name in names:
                found[name].append(file)
        return found

    def __contains__(self, name: str) -> bool:
        """Return whether a file is called so whose own name is a picture's."""
        try:
            return self.file(name).suffix.lower() in picture_suffixes()
        except FedlabError:
            return False

    def file(self, name: str) -> Path:
        """Return the picture's file.

        Raises:
            FedlabError: If there is none, or several are called so.
        """
        exact = self.folder / name
        try:
            if exact.is_file():
                return exact
        except (OSError, ValueError):  # too long, or no name of a file
            pass
        found = self._by_name.get(name.replace("\\", "/").removeprefix("./"), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise FedlabError(f"it may be {shown(found[0])} or {shown(found[1])}")
        raise FedlabError(f"{shown(self.folder)} holds no such picture")


def read_listed(
    path: Path, columns: PictureColumns, key: str, learns: bool = True
) -> ListedPictures:
    """Return the pictures that a table lists; their files lie in its own folder, or below.

    Args:
        path: A file with a separator between fields, and names of columns in its first line.
        columns: Which of them are read.
        key: The scenario's key that names it.
        learns: Whether some are to be learned from. What is only tested may be all of one part, and
            have no column of parts.

    Raises:
        FedlabError: If it is no table, cannot be read, has no such column, says of a picture a part
            that is none, or of none that it is to be learned from.
    """
    if path.suffix.lower() not in TABLES:
        kinds = ", ".join(TABLES)
        raise FedlabError(f"{key}: {shown(path)} is no folder, and no table of pictures ({kinds})")
    wanted = columns if learns else columns._replace(part=None)
    table = read_table(path, wanted.named, key)
    if columns.part not in table.columns:
        columns = wanted
    own = OwnFolder(path.parent, picture_suffixes(), key)
    lookup, absent = PictureLookup(path.parent, own.files), is_missing(columns.missing)
    roles = _roles(table, columns.part)
    if learns and "train" not in roles:
        raise FedlabError(f"{table.where}: column '{columns.part}' has no row of the part train")
    held_out = "test" if "test" in roles else "val"
    train: list[ListedPicture] = []
    test: list[ListedPicture] = []
    faults: list[str] = []
    unused = 0
    fields = {name: table.named(name) for name in columns.named}
    for row, role in enumerate(roles):
        if role not in ("train", held_out):
            unused += 1
            continue
        lacking = [name for name in columns.named if absent(fields[name][row])]
        place = table.place(row, (lacking or [columns.path])[0]).removeprefix(f"{key}: ")
        if lacking:
            faults.append(f"{place}: it is empty")
            continue
        name = table.of(columns.path)[row]
        try:
            file = lookup.file(name)
        except FedlabError as error:
            faults.append(f"{place}: '{shown(name)}': {error}")
            continue
        said = [fields[c][row] if c is not None else "" for c in (columns.label, columns.client)]
        (train if role == "train" else test).append(ListedPicture(file, *said))
    notes = (*table.notes, *case_notes({row.label for row in train}, key))
    if unused:
        notes += (f"{key}: the {unused} pictures of '{columns.part}' val are not used: {_TESTED}",)
    return ListedPictures(train, test, held_out in roles, faults, notes)


_TESTED = "the model is tested on test, and clients hold out some of their own (data.validation)"


def _roles(table: Table, column: str | None) -> list[str]:
    """Return each row's part: "train", "val" or "test".

    Raises:
        FedlabError: If a field says none of these.
    """
    if column is None:
        return ["train"] * len(table.lines)
    found = []
    for row, text in enumerate(table.of(column)):
        role = role_of(text)
        if role is None:
            raise FedlabError(
                f"{table.place(row, column)}: '{shown(text)}' is no part; it may be train, val or "
                "test"
            )
        found.append(role)
    return found
