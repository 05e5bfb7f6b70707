"""Sites of series in CSV files, cut into the federation's windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from fedlab.data.dataset import Encoding, Examples, Scaling, Task
from fedlab.data.formats.columns import read_table
from fedlab.data.names import class_name
from fedlab.data.series_table import SeriesColumns, cut, series_of
from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import Difference, Differs, SiteRows, numbered
from fedlab.errors import FedlabError

DEFAULT_WINDOW = 24


class SeriesTables(SiteKind):
    """Windows of series, with classes or the values that follow."""

    sources: ClassVar[tuple[str, ...]] = ("series-csv",)

    @property
    def _window(self) -> int:
        return round(self.settings.window or DEFAULT_WINDOW)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the columns that are read."""
        return tuple(class_name(name) for name in self.settings.columns)

    def given(self) -> list[tuple[float, float]]:
        """Return mean and deviation of each column."""
        columns = self.settings.columns.values()
        return [(column.mean or 0.0, column.deviation or 1.0) for column in columns]

    def task(self, moments: Moments | None) -> Task:
        """Return the classification or forecast."""
        features, target = self.scaling(moments)
        shape = (self._window, len(self.inputs))
        if target is None:
            kind, outputs, labels = self.kind_of_task()
            encoding = Encoding(features=features)
            return Task(kind, "series", shape, outputs, labels, encoding=encoding)
        steps, name = self.settings.horizon, self.settings.target
        scaling = Scaling((name,) * steps, target.offset * steps, target.scale * steps)
        labels = tuple(f"{name} + {step}" for step in range(1, steps + 1))
        encoding = Encoding(features=features, targets=scaling)
        return Task("regression", "series", shape, steps, labels, encoding=encoding)

    def rows(self, data: Any) -> SiteRows:
        """Return the windows of a site's file."""
        settings, forecast = self.settings, class_name(self.settings.target)
        label = data.label if settings.classes else None
        if settings.classes and not label:
            told = "data.label, the column of classes, is not named at the site"
            raise Differs([Difference.of(told)])
        columns = SeriesColumns(
            self.inputs, forecast or None, label, None, data.series, data.time,
            data.missing, data.missing_words,
        )  # fmt: skip
        table = read_table(Path(data.path), [], "data.path")
        wanted = dict.fromkeys([*self.inputs, *([forecast] if forecast else [])])
        absent = [name for name in wanted if name not in table.columns]
        if absent:
            raise Differs(Difference.of(f"column '{name}' is missing") for name in absent)
        try:
            series, _, notes = series_of(table, columns)
        except FedlabError as error:
            told = "a column of its series holds something that is no number, or nothing"
            raise Differs([Difference(str(error), told)]) from error
        pieces = [run for one in series for run in one.runs()] if label else series
        pieces = [piece for piece in pieces if len(piece)]
        windows = cut(pieces, self._window, settings.horizon, settings.stride, data.missing)
        if not len(windows):
            needed = self._window + (0 if label else settings.horizon)
            raise Differs([Difference.of(f"no series of its has {needed} steps")])
        targets = (
            numbered(windows.labels, settings.class_names)
            if label
            else torch.from_numpy(windows.targets)
        )
        return SiteRows(Examples(torch.from_numpy(windows.inputs), targets), 0, notes)
