"""Folders of several sites, each site a client: where the classes of each lie, and its files.

Either a folder level is the client (``data.clients_by = "folder"``): ``site/class/*.jpg``, with
parts ``train/site/class`` and ``test/site/class``, or ``site/train/class`` and ``site/test/class``;
or each site's folder is listed (``[[data.sites]]``), with classes in it, or parts with classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fedlab.data.clients_by import Site, check_sites
from fedlab.data.folders import Labelled, OwnFolder
from fedlab.data.names import class_name, listed, lookalikes, shown
from fedlab.data.parts import find_parts
from fedlab.errors import FedlabError

FOLDER = "folder"
"""The value of ``data.clients_by`` by which a folder level is the client."""
_SITES_NAMED = 5


class SiteFolder(NamedTuple):
    """Where a site's classes lie.

    Attributes:
        name: What the client is called.
        own: The folder that is looked at, and the record of what is left out.
        train: The folder of its training part, or None where it has none.
        test: The folder of the part that is held out, or None where the user held out none.
    """

    name: str
    own: OwnFolder
    train: Path | None
    test: Path | None


class SiteFiles(NamedTuple):
    """The files of all sites.

    Attributes:
        classes: The classes of all sites together, sorted; () where pictures have none.
        names: The sites that have files.
        train: The files to learn from: file, class, number of its site.
        test: Those that the user held out, likewise.
        without_test: The numbers of the sites of which nothing is held out yet.
        notes: What the user should know.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    train: list[tuple[Path, str, int]]
    test: list[tuple[Path, str, int]]
    without_test: frozenset[int]
    notes: tuple[str, ...]


def sites_in(own: OwnFolder) -> tuple[list[SiteFolder], tuple[str, ...]]:
    """Return the sites of a folder whose first level, or whose parts' first level, are sites.

    Raises:
        FedlabError: If there are fewer than two.
    """
    parts = find_parts(own)
    if parts.test is not None:
        train, test = _by_name(own, parts.train), _by_name(own, parts.test)
        found = [
            SiteFolder(name, own, train.get(name), test.get(name))
            for name in sorted({*train, *test})
        ]
        notes = parts.notes
    else:
        found, notes = [], ()
        for name, folder in _by_name(own, own.root).items():
            site, further = _site(name, own.inside(folder))
            found.append(site)
            notes = tuple(dict.fromkeys((*notes, *further)))
    if len(found) < 2:
        inside = f"one folder, '{found[0].name}'" if found else "no folders"
        raise FedlabError(
            f"{own.key}: {shown(own.root)} holds {inside}; with data.clients_by = '{FOLDER}' its "
            "folders are the clients, and two or more are needed"
        )
    return found, notes


def sites_listed(
    sites: Sequence[Site], suffixes: Collection[str]
) -> tuple[list[SiteFolder], tuple[str, ...]]:
    """Return the sites of ``[[data.sites]]``.

    Raises:
        FedlabError: If two have one name or one folder, or a folder is not there.
    """
    check_sites(sites)
    found: list[SiteFolder] = []
    notes: list[str] = []
    for number, site in enumerate(sites):
        own = OwnFolder(Path(site.path).expanduser(), suffixes, f"data.sites.{number}.path")
        folder, further = _site(site.name, own)
        found.append(folder)
        notes += further
    return found, tuple(notes)


def _site(name: str, own: OwnFolder) -> tuple[SiteFolder, tuple[str, ...]]:
    """Return a site whose folder holds classes, or parts with classes."""
    parts = find_parts(own)
    return SiteFolder(name, own, parts.train, parts.test), parts.notes


def _by_name(own: OwnFolder, place: Path) -> dict[str, Path]:
    """Return the subfolders of a place by name, in order."""
    found: dict[str, Path] = {}
    for folder in own.folders(place):
        name = class_name(shown(folder.name))
        if not name or name in found:
            raise FedlabError(
                f"{own.key}: {shown(folder)} is a client without a name of its own; rename it"
            )
        found[name] = folder
    return found


def read_sites(
    sites: Sequence[SiteFolder], key: str, what: str, with_classes: bool = True
) -> SiteFiles:
    """Return the files of all sites.

    Args:
        sites: The sites.
        key: The scenario's key that names them, for messages.
        what: What the files are, in the plural, for messages.
        with_classes: Whether subfolders are classes; else all files below a site are its own.

    Raises:
        FedlabError: If there are fewer than two classes, a class is tested that no site learns, two
            sites spell a class differently, or a site has files beside no class folders.
    """
    train = [_files(site, site.train, with_classes) for site in sites]
    test = [_files(site, site.test, with_classes) for site in sites]
    whole = OwnFolder(sites[0].own.root, (), key)
    for site in sites:
        whole.add_record_of(site.own)
    if with_classes:
        for site, found in zip(sites, train, strict=True):
            _check_has_classes(site, found, key, what)
    kept = [n for n in range(len(sites)) if any(train[n].files) or any(test[n].files)]
    if not kept:
        aside = f" ({whole.left_out})" if whole.left_out else ""
        raise FedlabError(f"{key}: no site holds {what}{aside}")
    names = tuple(sites[n].name for n in kept)
    classes = _union([train[n] for n in kept])
    if with_classes:
        _check_classes(classes, [train[n] for n in kept], [test[n] for n in kept], names, key, what)
    empty = [site.name for number, site in enumerate(sites) if number not in kept]
    notes = [f"{key}: the site '{name}' holds no {what}, and is left out" for name in empty]
    notes += whole.notes(classes)
    if with_classes:
        notes += _lacking(classes, [train[n] for n in kept], names, key, what)
    return SiteFiles(
        classes if with_classes else (),
        names,
        [row for number, n in enumerate(kept) for row in _rows(train[n], number)],
        [row for number, n in enumerate(kept) for row in _rows(test[n], number)],
        frozenset(number for number, n in enumerate(kept) if not any(test[n].files)),
        tuple(notes),
    )


def _files(site: SiteFolder, place: Path | None, with_classes: bool) -> Labelled:
    if place is None:
        return Labelled((), ())
    if with_classes:
        return site.own.labelled(place)
    inside = site.own.inside(place)
    files = tuple(inside.files())
    site.own.add_record_of(inside)
    return Labelled(("",), (files,))


def _rows(found: Labelled, number: int) -> Iterable[tuple[Path, str, int]]:
    files, labels = found.flat()
    return ((file, label, number) for file, label in zip(files, labels, strict=True))


def _union(parts: Iterable[Labelled]) -> tuple[str, ...]:
    """Return the classes that have files somewhere, sorted."""
    found = {
        name
        for part in parts
        for name, files in zip(part.classes, part.files, strict=True)
        if files
    }
    return tuple(sorted(found))


def _check_has_classes(site: SiteFolder, found: Labelled, key: str, what: str) -> None:
    """Refuse a site whose files lie beside no class folders: then its level may be the classes."""
    if any(found.files) or site.train is None:
        return
    direct = site.own.inside(site.train).files()
    if direct:
        raise FedlabError(
            f"{key}: the site '{site.name}' holds {what} and no class folders; the layout is "
            f"{site.name}/<class>/{direct[0].name}. Where these folders are the classes "
            "themselves, leave data.clients_by out"
        )


def _check_classes(
    classes: tuple[str, ...],
    train: Sequence[Labelled],
    test: Sequence[Labelled],
    names: Sequence[str],
    key: str,
    what: str,
) -> None:
    """Refuse fewer than two classes, a spelling of a site's own, and an untrained class."""
    where = {name: names[n] for n in reversed(range(len(names))) for name in _union([train[n]])}
    for first, second in lookalikes([*classes, *_union(test)]):
        # To a site that has both they are two classes, and a note names them.
        if not any({first, second} <= {*_union([part])} for part in train):
            raise FedlabError(
                f"{key}: a class is called '{first}' in '{where.get(first, 'the test part')}' and "
                f"'{second}' in '{where.get(second, 'the test part')}'; classes go by their "
                "names, so rename one of the folders"
            )
    if len(classes) < 2:
        raise FedlabError(
            f"{key}: the sites hold {what} of {len(classes)} class{'' if classes else 'es'}"
            f"{f', {listed(classes)}' if classes else ''}, and two or more are needed: each site's "
            "folder holds one folder for each class"
        )
    unknown = [name for name in _union(test) if name not in classes]
    if unknown:
        raise FedlabError(
            f"{key}: {listed(unknown)} is tested and no site has {what} of it to learn from"
        )


def _lacking(
    classes: tuple[str, ...], parts: Sequence[Labelled], names: Sequence[str], key: str, what: str
) -> list[str]:
    """Return a note on the sites that lack classes, if there are any."""
    lacks = [
        (name, [c for c in classes if c not in {*_union([part])}])
        for name, part in zip(names, parts, strict=True)
    ]
    lacks = [(name, missing) for name, missing in lacks if missing]
    if not lacks:
        return []
    told = [f"'{name}' lacks {listed(missing)}" for name, missing in lacks[:_SITES_NAMED]]
    more = len(lacks) - _SITES_NAMED
    told += [f"and {more} more sites lack some"] if more > 0 else []
    return [f"{key}: not every site has {what} of every class: {'; '.join(told)}"]


def look_like_sites(own: OwnFolder) -> tuple[str, ...]:
    """Return the names that recur below the first level, if those look like classes of sites.

    They do where two or more folders hold two or more folders of files each, and most of those
    names are in several of the folders.

    Raises:
        FedlabError: If it is ambiguous which folders are parts.
    """
    inner: list[set[str]] = []
    for folder in own.inside(find_parts(own).train).folders():
        site = own.inside(folder)
        subs = own.inside(find_parts(site).train).folders()
        named = {class_name(shown(sub.name)).casefold(): sub for sub in subs}
        inner.append({name for name, sub in named.items() if own.inside(sub).files()})
    several = [names for names in inner if len(names) >= 2]
    if len(several) < 2 or len(several) < len(inner) / 2:
        return ()
    every = [name for names in inner for name in names]
    recurring = {name for name in every if every.count(name) > 1}
    return tuple(sorted(recurring)) if 2 * sum(n in recurring for n in every) > len(every) else ()
