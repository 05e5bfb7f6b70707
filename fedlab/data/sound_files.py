"""Which recordings there are, what each is called, and who its client is.

Three layouts: folders by class, and by client above them; a table that names files; and files whose
names say it, by a pattern such as ``{label}_{client}_{}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import Path as ZipEntry

from fedlab.data.clients_by import Site, check_sites
from fedlab.data.folders import OwnFolder, case_notes
from fedlab.data.formats.columns import read_table
from fedlab.data.formats.sound import SOUND_SUFFIXES
from fedlab.data.formats.table import is_missing
from fedlab.data.names import class_name, shown
from fedlab.data.parts import find_parts, nothing_in, read_parts
from fedlab.data.site_folders import SiteFolder, read_sites, sites_in, sites_listed

SoundFile = Path | ZipEntry
WHAT = "recordings"
LABEL, CLIENT = "label", "client"
_FIELD = re.compile(r"\{(\w*)\}")


class Named(NamedTuple):
    """A recording's file, its class, and who its client is; "" where nothing says that."""

    file: SoundFile
    label: str
    client: str = ""


class Recordings(NamedTuple):
    """The recordings of a data set.

    Attributes:
        train: Those to learn from.
        test: Those of the part that the user held out.
        faults: A sentence for each file of which nothing says what it is.
        notes: What the user should know.
    """

    train: list[Named]
    test: list[Named]
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Columns(NamedTuple):
    """Columns of a table of recordings, and the words in them that stand for nothing."""

    path: str
    label: str
    client: str | None
    missing: Collection[str] = ()


def in_folders(path: Path, clients_by_folder: bool, key: str) -> Recordings:
    """Return recordings in folders that are classes, perhaps below folders that are clients.

    Raises:
        FedlabError: If the folders do not hold two classes, or are ambiguous.
    """
    own = OwnFolder(path, SOUND_SUFFIXES, key)
    if clients_by_folder:
        sites, notes = sites_in(own)
        return _of_sites(sites, notes, key)
    parts = find_parts(own)
    found = read_parts(own, parts, WHAT)
    train = [Named(*pair) for pair in zip(*found.train, strict=True)]
    test = [Named(*pair) for pair in zip(*(found.test or ((), ())), strict=True)]
    return Recordings(train, test, (), (*parts.notes, *own.notes(found.classes)))


def by_pattern(path: Path, pattern: str, key: str) -> Recordings:
    """Return the recordings below a folder, by what their names say.

    Raises:
        FedlabError: If there are none.
    """
    own = OwnFolder(path, SOUND_SUFFIXES, key)
    parts = find_parts(own)
    found: list[list[Named]] = []
    faults: list[str] = []
    for place in (parts.train, parts.test):
        inside = own.inside(place) if place is not None else None
        files = inside.files() if inside is not None else []
        named, wrong = matched([(file, file.relative_to(path)) for file in files], pattern)
        found.append(named)
        faults += wrong
        if inside is not None and place != own.root:
            own.add_record_of(inside)
        elif inside is not None:
            own = inside
    if not any(found) and not faults:
        raise nothing_in(own, path, WHAT)
    classes = {row.label for row in found[0]}
    notes = (*parts.notes, *own.notes(), *case_notes(classes, key))
    return Recordings(found[0], found[1], tuple(faults), notes)


def matched(
    files: Iterable[tuple[SoundFile, Path]], pattern: str
) -> tuple[list[Named], tuple[str, ...]]:
    """Return what names say, and a sentence for each that does not fit the pattern.

    Args:
        files: Files, and their paths within the data set.
        pattern: As :func:`compiled` takes it; it is held against the last components of a path,
            as many as it has itself, without the suffix.
    """
    expression, depth = compiled(pattern), pattern.count("/") + 1
    found, faults = [], []
    for file, path in files:
        name = "/".join(path.with_suffix("").parts[-depth:])
        match = expression.fullmatch(shown(name))
        if match is None:
            faults.append(f"the name of {shown(str(file))} does not fit the pattern '{pattern}'")
            continue
        said = match.groupdict()
        found.append(Named(file, class_name(said[LABEL]), class_name(said.get(CLIENT, ""))))
    return found, tuple(faults)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression of a pattern: {label}, {client} and {} stand for some characters.

    Each stands for as few as fit, but one at least, and never for a "/".

    Raises:
        ValueError: If there is no {label}, or another name.
    """
    fields = _FIELD.findall(pattern)
    unknown = [name for name in fields if name not in (LABEL, CLIENT, "")]
    if unknown:
        raise ValueError(f"'{{{unknown[0]}}}' is none of {{label}}, {{client}} and {{}}")
    for name in (LABEL, CLIENT):
        if fields.count(name) > 1:
            raise ValueError(f"{{{name}}} is there twice")
    if LABEL not in fields:
        raise ValueError("there is no {label} in it, as in '{label}_{client}_{}'")
    parts = _FIELD.split(pattern)
    expression = ""
    for number, part in enumerate(parts):
        if number % 2:
            expression += f"(?P<{part}>[^/]+?)" if part else "[^/]+?"
        else:
            expression += re.escape(part)
    return re.compile(expression)


def in_table(path: Path, columns: Columns, key: str) -> Recordings:
    """Return the recordings that a CSV file lists; paths begin at its own folder.

    Raises:
        FedlabError: If the table cannot be read, has no such column, or lists nothing.
    """
    wanted = [columns.path, columns.label, *([columns.client] if columns.client else [])]
    table = read_table(path, wanted, key)
    absent = is_missing(columns.missing)
    found, faults = [], []
    clients = table.named(columns.client) if columns.client else [""] * len(table.lines)
    rows = zip(table.of(columns.path), table.named(columns.label), clients, strict=True)
    for row, (name, label, client) in enumerate(rows):
        lacking = [
            column
            for column, value in zip(wanted, (name.strip(), label, client), strict=False)
            if absent(value)
        ]
        if lacking:
            faults.append(f"{table.place(row, lacking[0]).removeprefix(f'{key}: ')}: it is empty")
        else:
            found.append(Named(path.parent / name.strip(), label, client))
    notes = (*table.notes, *case_notes({row.label for row in found}, key))
    return Recordings(found, [], tuple(faults), notes)


def of_sites(
    sites: Sequence[Site], read: Callable[[Path, str], Recordings] | None, key: str
) -> Recordings:
    """Return the recordings of sites that are listed, each a client.

    Args:
        sites: The sites.
        read: Reads one site's folder or table; None where its folders are its classes.
        key: The scenario's key that names them.

    Raises:
        FedlabError: If two sites have one name, or a site cannot be read.
    """
    if read is None:
        return _of_sites(*sites_listed(sites, SOUND_SUFFIXES), key)
    check_sites(sites)
    whole = Recordings([], [])
    for number, site in enumerate(sites):
        found = read(Path(site.path).expanduser(), f"{key}.{number}.path")
        whole = Recordings(
            whole.train + [row._replace(client=site.name) for row in found.train],
            whole.test + [row._replace(client=site.name) for row in found.test],
            whole.faults + found.faults,
            whole.notes + found.notes,
        )
    return whole


def _of_sites(sites: Sequence[SiteFolder], notes: tuple[str, ...], key: str) -> Recordings:
    found = read_sites(sites, key, WHAT)
    train = [Named(file, label, found.names[number]) for file, label, number in found.train]
    test = [Named(file, label, found.names[number]) for file, label, number in found.test]
    return Recordings(train, test, (), (*notes, *found.notes))
