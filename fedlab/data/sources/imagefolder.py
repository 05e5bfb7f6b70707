"""A user's own pictures: a folder for each class, for each site, or for everything."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab.data.clients_by import Site, check_path_or_sites
from fedlab.data.dataset import Dataset, DataSettings, Examples, IntArray, Task, without_effect
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.holdout import hold_out, hold_out_by_group
from fedlab.data.names import listed, shown
from fedlab.data.parts import find_parts, nothing_in, read_parts
from fedlab.data.pictures import read_pictures
from fedlab.data.site_folders import (
    SiteFiles,
    look_like_sites,
    read_sites,
    sites_in,
    sites_listed,
)
from fedlab.data.unreadable import OnError, on_error_field, settle
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

_PATH, _SITES = "data.path", "data.sites"
_WHAT = "pictures"
_UNLABELLED = "reconstruction"
"""The ``data.task`` that needs no classes."""
_FEW = 5


@datasets.register("imagefolder")
class ImageFolder:
    """A folder of your own pictures: path/<class>/*.jpg, or path/<site>/<class>/*.jpg."""

    class Settings(DataSettings):
        """Keys of the imagefolder data set."""

        name: str = "imagefolder"
        path: FilePath | None = Field(
            None,
            description="folder with one subfolder per class, or with the parts train and test "
            "(or val), each with one subfolder per class",
        )
        clients_by: Literal["folder"] | None = Field(
            None,
            description="'folder': the first folder level is the client, path/<client>/<class>/*; "
            "parts may stand above the clients or below",
        )
        sites: tuple[Site, ...] = Field(
            (),
            description="in place of path, a table for each client: its name, and its folder, laid "
            "out as path is without clients_by",
        )
        image_size: int = Field(
            64, ge=4, le=1024, description="pictures are scaled and cropped to this square, once"
        )
        channels: Literal[1, 3] = Field(3, description="3 colour, 1 grey")
        test_fraction: float = Field(
            0.2,
            gt=0,
            lt=1,
            description="fraction held out if there is no part 'test' or 'val': of every class, "
            "and of every site where there are some",
        )
        on_error: OnError = on_error_field()

        @model_validator(mode="after")
        def _says_where(self) -> Self:
            check_path_or_sites(self.path, self.sites, self.clients_by, "folder")
            return self

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, channels, image_size, image_size).

        Raises:
            FedlabError: If a folder is missing or holds no pictures, or a picture cannot be read.
        """
        found = self._found()
        examples, split, notes = self._read(found)
        train, test, further = self._parts(found, examples, split, seed)
        if found.classes:
            count = len(found.classes)
            task = Task("classification", "image", self._shape, count, found.classes)
        else:
            task = Task(_UNLABELLED, "image", self._shape, math.prod(self._shape))
        return Dataset(task, train, test, notes=(*found.notes, *notes, *further))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.settings.channels, self.settings.image_size, self.settings.image_size)

    @property
    def _key(self) -> str:
        return _SITES if self.settings.sites else _PATH

    def _found(self) -> _Found:
        """Return the files, and what they are by their folders."""
        settings, needs_classes = self.settings, self._needs_classes
        if settings.sites:
            sites, notes = sites_listed(settings.sites, picture_suffixes())
        else:
            own = OwnFolder(Path(settings.path or "").expanduser(), picture_suffixes(), _PATH)
            if settings.clients_by is None:
                return _of_one(own, needs_classes)
            sites, notes = sites_in(own)
        found = read_sites(sites, self._key, _WHAT, needs_classes)
        return _Found.of_sites(found, notes)

    @property
    def _needs_classes(self) -> bool:
        return getattr(self.settings, "task", "own") != _UNLABELLED

    def _read(self, found: _Found) -> tuple[Examples, int, tuple[str, ...]]:
        """Return all pictures, the number of those to learn from, and notes.

        Those of the part that the user held out come last.
        """
        rows = [*found.train, *found.test]
        pictures = read_pictures([file for file, _, _ in rows], self._shape)
        kept, faults = pictures.kept, pictures.faults
        notes = settle(faults, len(rows), self._key, self.settings.on_error)
        numbers = {name: number for number, name in enumerate(found.classes)}
        targets = torch.tensor(
            [numbers.get(rows[number][1], 0) for number in kept], dtype=torch.int64
        )
        groups = np.array([rows[number][2] for number in kept], np.int64) if found.names else None
        examples = pictures.examples(targets, groups, found.names)
        split = int((kept < len(found.train)).sum())
        self._check_none_is_empty(found, targets[:split].numpy())
        moving = [rows[number][0] for number in pictures.frames]
        return examples, split, (*notes, *pictures.notes, *_frames(moving, self._key))

    def _parts(
        self, found: _Found, examples: Examples, split: int, seed: int
    ) -> tuple[Examples, Examples, tuple[str, ...]]:
        """Return what is learned from, what is tested on, and notes."""
        first, last = np.arange(split), np.arange(split, len(examples))
        fraction, key = self.settings.test_fraction, ["test_fraction"]
        classes = examples.targets.numpy()[:split] if found.classes else None
        if examples.groups is None:
            if found.has_test:
                reason = "the folder has a part of its own that is held out"
                notes = without_effect(self.settings, key, reason)
                return examples.take(first), examples.take(last), notes
            train, test = hold_out(split, fraction, seed, classes, found.classes)
            return examples.take(train), examples.take(test), ()
        waiting = np.isin(examples.groups[:split], sorted(found.without_test))
        if not waiting.any():
            notes = without_effect(self.settings, key, "each site has a part that is held out")
            return examples.take(first), examples.take(last), notes
        where = np.flatnonzero(waiting)
        own = None if classes is None else classes[where]
        held = where[hold_out_by_group(examples.groups[where], fraction, seed, own)[1]]
        train, test = np.setdiff1d(first, held), np.concatenate([held, last])
        parts = examples.take(train), examples.take(test)
        return *parts, self._tested_notes(found, parts[1])

    def _tested_notes(self, found: _Found, test: Examples) -> tuple[str, ...]:
        """Return a note on sites of which nothing is tested, and on those held out in part."""
        assert test.groups is not None
        absent = [n for k, n in enumerate(found.names) if k not in {*test.groups.tolist()}]
        notes = []
        if absent:
            notes.append(
                f"{self._key}: nothing of {listed(absent)} is in the test set: one picture, or none"
            )
        if found.test:
            drawn = [found.names[number] for number in sorted(found.without_test)]
            notes.append(
                f"{self._key}: {listed(drawn)} {'has' if len(drawn) == 1 else 'have'} no part that "
                "is held out, so that data.test_fraction of the pictures there is"
            )
        return tuple(notes)

    def _check_none_is_empty(self, found: _Found, targets: IntArray) -> None:
        """Refuse a class of which every picture was left out.

        Raises:
            FedlabError: If there is one.
        """
        counts = np.bincount(targets, minlength=max(1, len(found.classes)))
        for name, count in zip(found.classes or ("",), counts, strict=False):
            if not count:
                what = f"picture of the class '{name}'" if name else "picture"
                raise FedlabError(f"{self._key}: no {what} can be read")


class _Found(NamedTuple):
    """Files of pictures, and what they are.

    Attributes:
        classes: The names of the classes; () where pictures have none.
        train: The files to learn from, with the class of each and the number of its site.
        test: Those of the part that is held out.
        has_test: Whether the user held out a part.
        names: The sites; () where there are none.
        without_test: The numbers of the sites of which nothing is held out yet.
        notes: What the user should know.
    """

    classes: tuple[str, ...]
    train: list[tuple[Path, str, int]]
    test: list[tuple[Path, str, int]]
    has_test: bool
    names: tuple[str, ...] = ()
    without_test: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_sites(cls, found: SiteFiles, notes: tuple[str, ...]) -> _Found:
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


def _of_one(own: OwnFolder, needs_classes: bool) -> _Found:
    """Return the pictures of a folder without sites."""
    parts = find_parts(own)
    if not needs_classes and len(_class_folders(own, parts.train)) < 2:
        train = own.inside(parts.train).files()
        test = own.inside(parts.test).files() if parts.test else []
        if not train:
            raise nothing_in(own, parts.train, _WHAT)
        learned, tested = ([(file, "", 0) for file in files] for files in (train, test))
        return _Found((), learned, tested, bool(test), notes=parts.notes)
    try:
        files = read_parts(own, parts, _WHAT)
    except FedlabError as error:
        raise _with_hint(error, own, parts.train) from error
    notes = (*parts.notes, *own.notes(files.classes), *_sites_note(own, files.classes))
    train_rows = [(file, label, 0) for file, label in zip(*files.train, strict=True)]
    if files.test is None:
        return _Found(files.classes, train_rows, [], False, notes=notes)
    test_rows = [(file, label, 0) for file, label in zip(*files.test, strict=True)]
    return _Found(files.classes, train_rows, test_rows, True, notes=notes)


def _class_folders(own: OwnFolder, place: Path) -> list[Path]:
    return [folder for folder in own.inside(place).folders() if own.inside(folder).files()]


def _with_hint(error: FedlabError, own: OwnFolder, place: Path) -> FedlabError:
    """Return an error with what serves pictures that lie in no class folders."""
    if "at least two folders" in str(error) and own.inside(place).files():
        return FedlabError(
            f"{error}; data.task = '{_UNLABELLED}' learns from {_WHAT} without classes"
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


def _frames(files: list[Path], key: str) -> tuple[str, ...]:
    """Return a note on files that hold several frames or pages, if there are any."""
    if not files:
        return ()
    which = f"{shown(files[0])}{' and others' if len(files) > 1 else ''}"
    return (
        f"{key}: of several frames or pages the first is taken, in {len(files)} "
        f"file{'s' if len(files) > 1 else ''}: {which}",
    )
