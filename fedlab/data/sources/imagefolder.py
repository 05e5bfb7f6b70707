"""A user's own pictures: in folders by class, by site or all in one, or listed in a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab.data.clients_by import Site, check_path_or_sites
from fedlab.data.dataset import Dataset, DataSettings, Examples, IntArray, Task, without_effect
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.formats.table import MISSING
from fedlab.data.holdout import hold_out, hold_out_by_group
from fedlab.data.listed_pictures import PictureColumns
from fedlab.data.names import listed, shown
from fedlab.data.picture_files import (
    UNLABELLED,
    WHAT,
    PictureFiles,
    in_one_folder,
    in_table,
    in_tables,
)
from fedlab.data.pictures import read_pictures
from fedlab.data.site_folders import FOLDER, read_sites, sites_in, sites_listed
from fedlab.data.unreadable import OnError, on_error_field, settle
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

_PATH, _SITES = "data.path", "data.sites"
_OF_TABLES = ("path_column", "label_column", "part_column", "missing")


@datasets.register("imagefolder")
class ImageFolder:
    """A folder of your own pictures: path/<class>/*.jpg, or path/<site>/<class>/*.jpg."""

    class Settings(DataSettings):
        """Keys of the imagefolder data set."""

        name: str = "imagefolder"
        path: FilePath | None = Field(
            None,
            description="folder with one subfolder per class, or with the parts train and test "
            "(or val), each with one subfolder per class; or a CSV file with a row per picture, "
            "beside the pictures or above them",
        )
        clients_by: str | None = Field(
            None,
            description="'folder': the first folder level is the client, path/<client>/<class>/*; "
            "parts may stand above the clients or below; of a CSV file the column that says whose "
            "picture it is",
        )
        sites: tuple[Site, ...] = Field(
            (),
            description="in place of path, a table for each client: its name, and its folder or "
            "CSV file, laid out as path is without clients_by",
        )
        path_column: str = Field(
            "path",
            description="column of a CSV file that holds the picture's path, or the name of its "
            "file, with suffix or without",
        )
        label_column: str = Field("label", description="column of a CSV file that holds the class")
        part_column: str | None = Field(
            None,
            description="column of a CSV file that says which part a picture is of: train, and "
            "test or val",
        )
        missing: tuple[str, ...] = Field(
            MISSING,
            description="words that stand for a missing path, class or client in a CSV file, in "
            "any case; an empty field always does",
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
            check_path_or_sites(self.path, self.sites, self.clients_by, "folder or file")
            return self

        def columns(self, needs_classes: bool = True) -> PictureColumns:
            """Return the columns of a table that lists pictures."""
            label = self.label_column if needs_classes else None
            return PictureColumns(
                self.path_column, label, self.clients_by, self.part_column, self.missing
            )

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
            task = Task(UNLABELLED, "image", self._shape, math.prod(self._shape))
        return Dataset(task, train, test, notes=(*found.notes, *notes, *further))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.settings.channels, self.settings.image_size, self.settings.image_size)

    @property
    def _key(self) -> str:
        return _SITES if self.settings.sites else _PATH

    def _found(self) -> PictureFiles:
        """Return the files, and what they are by their folders."""
        settings, needs_classes = self.settings, self._needs_classes
        path = Path(settings.path or "").expanduser()
        if any(Path(site.path).expanduser().is_file() for site in settings.sites):
            return in_tables(settings.sites, settings.columns(needs_classes), _SITES)
        if settings.sites:
            sites, notes = sites_listed(settings.sites, picture_suffixes())
        elif path.is_file():
            return in_table(path, settings.columns(needs_classes), _PATH)
        else:
            own = OwnFolder(path, picture_suffixes(), _PATH)
            if settings.clients_by is None:
                return self._in_folders(in_one_folder(own, needs_classes))
            if settings.clients_by != FOLDER:
                raise FedlabError(
                    f"data.clients_by = '{settings.clients_by}' is a column, and {shown(path)} is "
                    f"a folder; '{FOLDER}' makes its first level the clients"
                )
            sites, notes = sites_in(own)
        found = read_sites(sites, self._key, WHAT, needs_classes)
        return self._in_folders(PictureFiles.of_sites(found, notes))

    def _in_folders(self, found: PictureFiles) -> PictureFiles:
        """Return pictures with notes on keys that say something of tables alone."""
        notes = without_effect(self.settings, _OF_TABLES, "it is for CSV files of pictures")
        return found._replace(notes=(*found.notes, *notes))

    @property
    def _needs_classes(self) -> bool:
        return getattr(self.settings, "task", "own") != UNLABELLED

    def _read(self, found: PictureFiles) -> tuple[Examples, int, tuple[str, ...]]:
        """Return all pictures, the number of those to learn from, and notes.

        Those of the part that the user held out come last.
        """
        rows = [*found.train, *found.test]
        pictures = read_pictures([file for file, _, _ in rows], self._shape)
        kept, faults = pictures.kept, [*found.faults, *pictures.faults]
        total = len(rows) + len(found.faults)
        notes = settle(faults, total, self._key, self.settings.on_error)
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
        self, found: PictureFiles, examples: Examples, split: int, seed: int
    ) -> tuple[Examples, Examples, tuple[str, ...]]:
        """Return what is learned from, what is tested on, and notes."""
        first, last = np.arange(split), np.arange(split, len(examples))
        fraction, key = self.settings.test_fraction, ["test_fraction"]
        classes = examples.targets.numpy()[:split] if found.classes else None
        if examples.groups is None:
            if found.has_test:
                reason = "the data have a part of their own that is held out"
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

    def _tested_notes(self, found: PictureFiles, test: Examples) -> tuple[str, ...]:
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

    def _check_none_is_empty(self, found: PictureFiles, targets: IntArray) -> None:
        """Refuse a class of which every picture was left out.

        Raises:
            FedlabError: If there is one.
        """
        counts = np.bincount(targets, minlength=max(1, len(found.classes)))
        for name, count in zip(found.classes or ("",), counts, strict=False):
            if not count:
                what = f"picture of the class '{name}'" if name else "picture"
                raise FedlabError(f"{self._key}: no {what} can be read")


def _frames(files: list[Path], key: str) -> tuple[str, ...]:
    """Return a note on files that hold several frames or pages, if there are any."""
    if not files:
        return ()
    which = f"{shown(files[0])}{' and others' if len(files) > 1 else ''}"
    return (
        f"{key}: of several frames or pages the first is taken, in {len(files)} "
        f"file{'s' if len(files) > 1 else ''}: {which}",
    )
