"""Which files of pictures there are, and what each is: by folders, or by a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fedlab.data.clients_by import Site, check_sites
from fedlab.data.folders import OwnFolder
from fedlab.data.listed_pictures import ListedPictures, PictureColumns, read_listed
from fedlab.data.names import listed, shown
from fedlab.data.parts import find_parts, nothing_in, read_parts
from fedlab.data.site_folders import SiteFiles, look_like_sites
from fedlab.errors import FedlabError

WHAT = "pictures"
UNLABELLED = "reconstruction"
"""The ``data.task`` that needs no classes."""
_FEW = 5


class PictureFiles(NamedTuple):
    """Files of pictures, and what they are.

    Attributes:
        classes: The names of the classes; () where pictures have none.
        train: The files to learn from, with the class of each and the number of its site.
        test: Those of the part that is held out.
        has_test: Whether the user held out a part.
        names: The sites; () where there are none.
        without_test: The numbers of the sites of which nothing is held out yet.
        notes: What the user should know.
        faults: A sentence for each picture that is named and not there.
    """

    classes: tuple[str, ...]
    train: list[tuple[Path, str, int]]
    test: list[tuple[Path, str, int]]
    has_test: bool
    names: tuple[str, ...] = ()
    without_test: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def of_sites(cls, found: SiteFiles, notes: tuple[str, ...]) -> PictureFiles:
        """Return the pictures of several sites."""
        return cls(
            found.classes,
            found.train,
            found.test,
            bool(found.test),
            found.names,
            found.without_test,
            (*notes, *found.notes),
        )


def in_one_folder(own: OwnFolder, needs_classes: bool) -> PictureFiles:
    """Return the pictures of a folder without sites."""
    parts = find_parts(own)
    if not needs_classes and len(_class_folders(own, parts.train)) < 2:
        train = own.inside(parts.train).files()
        test = own.inside(parts.test).files() if parts.test else []
        if not train:
            raise nothing_in(own, parts.train, WHAT)
        learned, tested = ([(file, "", 0) for file in files] for files in (train, test))
        return PictureFiles((), learned, tested, bool(test), notes=parts.notes)
    try:
        files = read_parts(own, parts, WHAT)
    except FedlabError as error:
        raise _with_hint(error, own, parts.train) from error
    notes = (*parts.notes, *own.notes(files.classes), *_sites_note(own, files.classes))
    train_rows = [(file, label, 0) for file, label in zip(*files.train, strict=True)]
    if files.test is None:
        return PictureFiles(files.classes, train_rows, [], False, notes=notes)
    test_rows = [(file, label, 0) for file, label in zip(*files.test, strict=True)]
    return PictureFiles(files.classes, train_rows, test_rows, True, notes=notes)


def _class_folders(own: OwnFolder, place: Path) -> list[Path]:
    return [folder for folder in own.inside(place).folders() if own.inside(folder).files()]


def _with_hint(error: FedlabError, own: OwnFolder, place: Path) -> FedlabError:
    """Return an error with what serves pictures that lie in no class folders."""
    if "at least two folders" in str(error) and own.inside(place).files():
        return FedlabError(
            f"{error}; data.task = '{UNLABELLED}' learns from {WHAT} without classes"
        )
    return error


def _sites_note(own: OwnFolder, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a note where the folders that count as classes look like sites."""
    try:
        inner = look_like_sites(own)
    except FedlabError:  # Below classes, folders may be called anything.
        return ()
    if not inner:
        return ()
    return (
        f"{own.key}: the folders {listed(classes, _FEW)} are learned as classes, and hold the same "
        f"folders, {listed(inner, _FEW)}; where those are the classes, data.clients_by = 'folder' "
        "makes each of the first a client",
    )


def in_table(path: Path, columns: PictureColumns, key: str) -> PictureFiles:
    """Return the pictures that a table lists, whose clients a column names, or nothing does.

    Raises:
        FedlabError: If the table cannot be read, or lists too few.
    """
    found, has_clients = read_listed(path, columns, key), columns.client is not None
    return _listed(found, columns.label is not None, has_clients, f"{key}: {shown(path)}")


def in_tables(sites: Sequence[Site], columns: PictureColumns, key: str) -> PictureFiles:
    """Return the pictures of sites, each with a table of its own.

    Raises:
        FedlabError: If a site has no table, or one cannot be read.
    """
    check_sites(sites)
    whole = ListedPictures([], [], False, [], ())
    for number, site in enumerate(sites):
        path, own = Path(site.path).expanduser(), f"{key}.{number}.path"
        if not path.is_file():
            raise FedlabError(f"{own}: {shown(path)} is no file, and other sites have tables")
        found = read_listed(path, columns, own)
        train, test = (
            [row._replace(client=site.name) for row in rows] for rows in (found.train, found.test)
        )
        whole = ListedPictures(
            whole.train + train,
            whole.test + test,
            whole.has_test or found.has_test,
            whole.faults + found.faults,
            whole.notes + found.notes,
        )
    return _listed(whole, columns.label is not None, True, key)


def _listed(
    found: ListedPictures, has_classes: bool, has_clients: bool, where: str
) -> PictureFiles:
    """Return the pictures of one or several tables.

    Args:
        found: The pictures.
        has_classes: Whether it is known what each is.
        has_clients: Whether it is known whose each is.
        where: How messages call the tables.

    Raises:
        FedlabError: If no picture is there, or they are of fewer than two classes.
    """
    classes = tuple(sorted({row.label for row in found.train})) if has_classes else ()
    if not found.train:
        why = f" ({found.faults[0]})" if found.faults else ""
        raise FedlabError(f"{where} lists no picture to learn from that is there{why}")
    if has_classes and len(classes) < 2:
        raise FedlabError(
            f"{where} lists pictures of one class, '{classes[0]}', and needs two or more"
        )
    strange = sorted({row.label for row in found.test} - {*classes}) if has_classes else []
    if strange:
        raise FedlabError(
            f"{where}: the class '{strange[0]}' is in the part that is held out alone"
        )
    rows = [*found.train, *found.test]
    names = tuple(sorted({row.client for row in rows})) if has_clients else ()
    numbers = {name: number for number, name in enumerate(names)}
    train, test = (
        [(row.file, row.label, numbers.get(row.client, 0)) for row in part]
        for part in (found.train, found.test)
    )
    without = set(range(len(names))) - {number for _, _, number in test}
    faults = tuple(found.faults)
    return PictureFiles(
        classes, train, test, found.has_test, names, frozenset(without), found.notes, faults
    )
