"""All texts of a scenario: of one file or folder, or of each site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedlab.data.clients_by import check_sites
from fedlab.data.folders import OwnFolder, case_notes
from fedlab.data.formats.text_file import TEXT_SUFFIXES
from fedlab.data.names import class_name, listed, shown
from fedlab.data.parts import find_parts
from fedlab.data.texts.folders import files_in, read_folder
from fedlab.data.texts.rows import TextRows, joined
from fedlab.data.texts.settings import FOLDER, TextSettings
from fedlab.data.texts.tables import SUFFIXES, read_table
from fedlab.errors import FedlabError

_KEY = "data.path"
_SITES_NAMED = 5


def read_texts(settings: TextSettings) -> TextRows:
    """Return the texts that the keys of ``[data]`` name.

    Raises:
        FedlabError: If they cannot be read.
    """
    if settings.sites:
        check_sites(settings.sites)
        return _sites(
            [
                (site.name, Path(site.path).expanduser(), f"data.sites.{number}.path", False)
                for number, site in enumerate(settings.sites)
            ],
            settings,
        )
    assert settings.path is not None
    path = Path(settings.path).expanduser()
    if settings.clients_by == FOLDER:
        return _sites(_inside(path), settings)
    if path.is_dir() and settings.clients_by and not files_in(path, SUFFIXES):
        raise FedlabError(
            f"data.clients_by: only a table has columns, such as '{settings.clients_by}'; 'folder' "
            "makes each folder in data.path a client"
        )
    return read_place(path, settings, _KEY)


def read_place(path: Path, settings: TextSettings, key: str) -> TextRows:
    """Return the texts of a file or folder.

    Raises:
        FedlabError: If there is none, or they cannot be read.
    """
    if path.is_dir():
        return read_folder(path, settings, key)
    rows = read_table(path, settings, key)
    return replace(
        rows, notes=(*rows.notes, *case_notes(sorted(set(rows.labels)), f"{key}: {shown(path)}"))
    )


Place = tuple[str, Path, str, bool]
"""A client's name, its file or folder, the key that names it, and whether it is held out."""


def _inside(path: Path) -> list[Place]:
    """Return the sites in a folder: its tables, or its subfolders, or those of its parts."""
    own = OwnFolder(path, TEXT_SUFFIXES, _KEY)
    tables = files_in(path, SUFFIXES)
    found = [(class_name(shown(file.stem)), file, _KEY, False) for file in tables]
    if not tables:
        parts = find_parts(own)
        places = [(parts.train, False), *([(parts.test, True)] if parts.test is not None else [])]
        found = [
            (class_name(shown(folder.name)), folder, _KEY, held_out)
            for place, held_out in places
            for folder in own.inside(place).folders()
        ]
    if len({name for name, *_ in found}) < 2:
        what = "table" if tables else "folder"
        raise FedlabError(
            f"{_KEY}: {shown(path)} holds {len(found)} {what}{'' if len(found) == 1 else 's'}; "
            f"with data.clients_by = '{FOLDER}' its {what}s are the clients, and two or more are "
            "needed"
        )
    return found


def _sites(places: list[Place], settings: TextSettings) -> TextRows:
    found: list[TextRows] = []
    for name, path, key, held_out in places:
        rows = read_place(path, settings, key).of(name)
        found.append(rows.tested() if held_out else rows)
    if len({rows.columns for rows in found}) > 1:
        apart = sorted({str(rows.columns) for rows in found})
        raise FedlabError(
            f"data.text_column, data.label_column: the sites have other columns ({apart[0]}, "
            f"{apart[1]}); name one for all"
        )
    rows = joined(found)
    return replace(rows, notes=(*rows.notes, *_lacking(rows)))


def _lacking(rows: TextRows) -> tuple[str, ...]:
    """Return a note on the sites that lack classes of others, if there are any."""
    held: dict[str, set[str]] = {}
    for client, label in zip(rows.clients or (), rows.labels, strict=True):
        held.setdefault(client, set()).add(label)
    every = set(rows.labels)
    lacking = [(name, sorted(every - own)) for name, own in held.items() if every - own]
    if not lacking or len(every) > max(20, len(rows) // 10):
        return ()
    told = [f"'{name}' lacks {listed(missing, 3)}" for name, missing in lacking[:_SITES_NAMED]]
    more = len(lacking) - _SITES_NAMED
    told += [f"and {more} more sites lack some"] if more > 0 else []
    return (f"data: not every site has texts of every class: {'; '.join(told)}",)
