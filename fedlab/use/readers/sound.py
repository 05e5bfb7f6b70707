"""Recordings, as log-mel spectrograms."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from fedlab.data.formats.sound import SOUND_SUFFIXES, read_samples
from fedlab.data.names import shown
from fedlab.data.recordings import check_length
from fedlab.data.scaling import scaled
from fedlab.registry import readers
from fedlab.use.file_reader import FileReader


@readers.register("sound")
class Sound(FileReader):
    """Recordings and folders of them."""

    what = "recordings"

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
