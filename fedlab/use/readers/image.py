"""Pictures, as a viewer shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from fedlab.data.formats.picture import picture_suffixes, read_picture
from fedlab.data.formats.table import MISSING
from fedlab.data.listed_pictures import PictureColumns, read_listed
from fedlab.data.names import shown
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader
from fedlab.use.inputs import DATA, Classes, Item
from fedlab.use.notes import tell


@readers.register("image")
class Pictures(FileReader):
    """Picture files and folders of them."""

    what = "pictures"

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield pictures with the classes that folders say, or a CSV file by the run's columns."""
        if not path.is_file():
            yield from super().labelled(path)
            return
        if path.suffix.lower() in self.suffixes():
            raise FedlabError(
                f"{DATA}: {shown(path)} is one picture; labelled ones are a folder with one "
                "subfolder for each class, or a CSV file with a row for each"
            )
        found = read_listed(path, self._columns, DATA, learns=False)
        tell(*found.notes)
        rows = found.test or found.train
        settle(found.faults, len(found.faults) + len(rows), DATA, "refuse", self.what)
        if found.test:
            tell(f"{DATA}: evaluated on the part that is held out, {len(rows)} pictures")
        classes = Classes(self.task)
        for row in rows:
            yield self.item(row.file, target=classes.of(row.label, shown(row.file)))

    @property
    def _columns(self) -> PictureColumns:
        """Return the columns by which the run read its table, or usual ones where it had none."""
        own = [getattr(self.data, f"{name}_column", name) for name in ("path", "label")]
        part = getattr(self.data, "part_column", None)
        return PictureColumns(own[0], own[1], None, part, getattr(self.data, "missing", MISSING))

    def suffixes(self) -> Collection[str]:
        """Return the suffixes of picture files."""
        return picture_suffixes()

    def load(self, path: Path) -> torch.Tensor:
        """Return a picture, (C, H, W) uint8, in the size of the run's data set."""
        return read_picture(path, self.task.input_shape)
