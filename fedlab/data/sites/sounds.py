"""Sites of recordings, which become log-mel spectrograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fedlab.data.dataset import Encoding, Examples, Task
from fedlab.data.folders import OwnFolder
from fedlab.data.formats.sound import SOUND_SUFFIXES, read_samples
from fedlab.data.log_mel import LogMel
from fedlab.data.recordings import check_length
from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import SiteRows, labelled_files, numbered
from fedlab.data.sound_files import Columns, Named, Recordings, by_pattern, in_table
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError

DEFAULT_WINDOW = 25.0
"""Milliseconds."""


class Sounds(SiteKind):
    """Recordings with classes, whose bands are scaled."""

    sources: ClassVar[tuple[str, ...]] = ("sound",)

    @property
    def _spectrum(self) -> LogMel:
        settings = self.settings
        rate = settings.rate
        window, hop = (
            max(round(rate * ms / 1000), least)
            for ms, least in ((settings.window or DEFAULT_WINDOW, 2), (settings.hop, 1))
        )
        return LogMel(
            *(rate, round(settings.seconds * rate), window, hop, settings.mels),
            *(settings.lowest, settings.highest or rate / 2, settings.volume),
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the bands."""
        return tuple(f"band {number}" for number in range(1, self.settings.mels + 1))

    def given(self) -> list[tuple[float, float]]:
        """Return the scenario's mean and deviation, the same for all bands."""
        pair = (self.settings.mean or 0.0, self.settings.deviation or 1.0)
        return [pair] * self.settings.mels

    def task(self, moments: Moments | None) -> Task:
        """Return the classification, with how recordings become spectrograms."""
        kind, outputs, labels = self.kind_of_task()
        spectrum = self._spectrum
        encoding = Encoding(features=self.scaling(moments)[0], sound=spectrum)
        shape = (spectrum.frames, spectrum.mels)
        return Task(kind, "series", shape, outputs, labels, encoding=encoding)

    def rows(self, data: Any) -> SiteRows:
        """Return the spectrograms of a site's recordings."""
        found = self._found(data)
        listed = [*found.train, *found.test]
        spectrum, faults, kept, values = self._spectrum, list(found.faults), [], []
        for number, row in enumerate(listed):
            try:
                samples = read_samples(row.file, spectrum.rate)
                check_length(samples, spectrum.window, spectrum.rate, str(row.file))
            except FedlabError as error:
                faults.append(str(error))
            else:
                values.append(spectrum.of(samples))
                kept.append(number)
        total = len(listed) + len(found.faults)
        skipped = settle(faults, total, "data.path", data.on_error, "recordings")
        if not kept:
            raise FedlabError("data.path: no recording can be read")
        targets = numbered([listed[n].label for n in kept], self.settings.class_names)
        held_out = sum(number >= len(found.train) for number in kept)
        inputs = torch.from_numpy(np.stack(values))
        return SiteRows(Examples(inputs, targets), held_out, (*found.notes, *skipped))

    def _found(self, data: Any) -> Recordings:
        path = Path(data.path)
        if path.is_file():
            columns = Columns(data.path_column, data.label_column, None, data.missing)
            return in_table(path, columns, "data.path")
        if data.pattern is not None:
            return by_pattern(path, data.pattern, "data.path")
        own = OwnFolder(path, SOUND_SUFFIXES, "data.path")
        files, labels, tested, notes = labelled_files(own, "recordings")
        rows = [Named(file, label, "") for file, label in zip(files, labels, strict=True)]
        border = len(rows) - tested
        return Recordings(rows[:border], rows[border:], (), notes)
