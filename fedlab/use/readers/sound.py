"""Recordings, as log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from fedlab.data.formats.sound import SOUND_SUFFIXES, read_samples
from fedlab.data.formats.table import MISSING
from fedlab.data.names import shown
from fedlab.data.recordings import check_length
from fedlab.data.scaling import scaled
from fedlab.data.sound_files import Columns, Recordings, by_pattern, in_table
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader
from fedlab.use.inputs import DATA, Classes, Item
from fedlab.use.notes import tell


@readers.register("sound")
class Sound(FileReader):
    """Recordings and folders of them."""

    what = "recordings"

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield recordings with the classes that folders, names or a CSV file say.

        Names are read by ``data.pattern`` of the run, where they fit it.
        """
        found = self._listed(path)
        if found is None:
            yield from super().labelled(path)
            return
        tell(*found.notes)
        settle(found.faults, len(found.faults) + len(found.train), DATA, "refuse", self.what)
        if found.test:
            count = len(found.test)
            tell(f"{DATA}: evaluated on the part that is held out, {count} recordings")
        classes = Classes(self.task)
        for row in found.test or found.train:
            target = classes.of(row.label, shown(str(row.file)))
            yield self.item(Path(str(row.file)), target=target)

    def _listed(self, path: Path) -> Recordings | None:
        """Return what a CSV file or the names of files say; None where folders are classes."""
        if path.suffix.lower() in SOUND_SUFFIXES and path.is_file():
            raise FedlabError(
                f"{DATA}: {shown(path)} is one recording; labelled ones are a folder with one "
                "subfolder for each class, or a CSV file with a row for each"
            )
        if path.is_file():
            own = [getattr(self.data, f"{name}_column", name) for name in ("path", "label")]
            missing = getattr(self.data, "missing", MISSING)
            return in_table(path, Columns(own[0], own[1], None, missing), DATA)
        pattern = getattr(self.data, "name_pattern", None)
        if pattern is None or not path.is_dir():
            return None
        found = by_pattern(path, pattern, DATA)
        # Names that say nothing do not count where folders are the classes.
        return found if found.train else None

    def suffixes(self) -> Collection[str]:
        """Return the suffixes of recordings."""
        return SOUND_SUFFIXES

    def load(self, path: Path) -> torch.Tensor:
        """Return a recording's spectrogram, (frames, mels) float32, scaled as in training."""
        assert self.task.encoding is not None
        assert self.task.encoding.sound is not None
        encoding = self.task.encoding.sound
        samples = read_samples(path, encoding.rate)
        check_length(samples, encoding.window, encoding.rate, shown(path))
        return scaled(torch.from_numpy(encoding.of(samples)), self.task.encoding.features)
