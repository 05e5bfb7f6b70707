"""Recordings, as log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import torch

from fedlab.data.folders import OwnFolder
from fedlab.data.formats.sound import SOUND_SUFFIXES, read_samples
from fedlab.data.names import shown
from fedlab.data.recordings import check_length
from fedlab.data.scaling import scaled
from fedlab.data.sound_files import Columns, Named, in_table, matched
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader
from fedlab.use.inputs import DATA, Classes, Item


@readers.register("sound")
class Sound(FileReader):
    """Recordings and folders of them."""

    what = "recordings"

    def labelled(self, path: Path) -> Iterator[Item]:
        """Yield recordings with the classes that folders, names or a CSV file say.

        Names are read by ``data.pattern`` of the run, where they fit it.
        """
        found: Sequence[Named] = ()
        if path.is_file():
            own = [getattr(self.data, f"{name}_column", name) for name in ("path", "label")]
            found = in_table(path, Columns(own[0], own[1], None), DATA).train
        elif path.is_dir() and (pattern := getattr(self.data, "name_pattern", None)):
            files = OwnFolder(path, SOUND_SUFFIXES, DATA).files()
            found = matched([(file, file.relative_to(path)) for file in files], pattern)[0]
        if not found:
            yield from super().labelled(path)
            return
        classes = Classes(self.task)
        for row in found:
            target = classes.of(row.label, shown(str(row.file)))
            yield self.item(Path(str(row.file)), target=target)

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
