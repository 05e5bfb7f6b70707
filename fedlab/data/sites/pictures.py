"""Sites of pictures: a folder with a subfolder for each class, or a table that lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlab.data.dataset import Task
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.picture import picture_suffixes
from fedlab.data.listed_pictures import read_listed
from fedlab.data.pictures import read_pictures
from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import SiteRows, labelled_files, numbered
from fedlab.data.unreadable import settle


class Pictures(SiteKind):
    """Pictures, which are not scaled by statistics."""

    sources: ClassVar[tuple[str, ...]] = ("imagefolder",)

    @property
    def _shape(self) -> tuple[int, int, int]:
        size = self.settings.image_size
        return self.settings.channels, size, size

    def task(self, moments: Moments | None) -> Task:
        """Return the classification."""
        kind, outputs, labels = self.kind_of_task()
        return Task(kind, "image", self._shape, outputs, labels)

    def rows(self, data: Any) -> SiteRows:
        """Return the pictures of a site's folder or table."""
        path, faults = Path(data.path), []
        if path.is_file():
            found = read_listed(path, data.columns()._replace(client=None), "data.path")
            rows, tested, notes = [*found.train, *found.test], len(found.test), found.notes
            files, labels = [row.file for row in rows], [row.label for row in rows]
            faults = found.faults
        else:
            own = OwnFolder(path, picture_suffixes(), "data.path")
            files, labels, tested, notes = labelled_files(own, "pictures")
        numbers = numbered(labels, self.settings.class_names)
        pictures = read_pictures(files, self._shape)
        total = len(files) + len(faults)
        skipped = settle([*faults, *pictures.faults], total, "data.path", data.on_error)
        held_out = int((pictures.kept >= len(files) - tested).sum())
        examples = pictures.examples(numbers[torch.from_numpy(pictures.kept)], None, ())
        return SiteRows(examples, held_out, (*notes, *skipped, *pictures.notes))
