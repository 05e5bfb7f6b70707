"""Forecasting on a user's own CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from fedlab.data.clients_by import groups_of
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, IntArray, Task
from fedlab.data.formats.table import MISSING, Table, is_missing, read_table
from fedlab.data.scaling import standardise
from fedlab.data.time_order import by_time, unordered
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath

FloatArray = npt.NDArray[np.float64]


@datasets.register("series-csv")
class SeriesCsv:
    """Forecasting on your own CSV file: from a window of some columns to the next values of one."""

    class Settings(DataSettings):
        """Keys of the series-csv data set."""

        name: str = "series-csv"
        path: FilePath = Field(description="CSV file with a header and one row per time step")
        columns: tuple[str, ...] = Field(min_length=1, description="input columns")
        target: str | None = Field(
            None, description="column to forecast; default: the first of 'columns'"
        )
        window: int = Field(24, ge=1, description="input steps")
        time: str | None = Field(
            None,
            description="column of times, numbers or ISO dates, by which each series is sorted; "
            "default: rows stay in the order of the file",
        )
        horizon: int = Field(1, ge=1, description="steps to forecast")
        stride: int = Field(1, ge=1, description="steps from one window to the next")
        group: str | None = Field(
            None, description="column that identifies a series (site, subject): natural clients"
        )
        missing: tuple[str, ...] = Field(
            MISSING,
            description="words that stand for a missing group, in any case; an empty field always "
            "does",
        )
        test_fraction: float = Field(
            0.2, gt=0, lt=1, description="last part of each series, the server's test set"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 windows (N, window, columns) with the next values (N, horizon).

        Columns and targets are standardised by the training part's statistics.

        Raises:
            FedlabError: If the file or a column is missing, a field is no number, or no series is
                long enough for a window in both parts.
        """
        settings = self.settings
        target = settings.target or settings.columns[0]
        values, groups, names, notes = self._read(target)
        train, test = self._windows(values, groups)
        inputs, features = standardise([train[0], test[0]], settings.columns)
        targets, scaling = standardise([part[1].unsqueeze(-1) for part in (train, test)], [target])
        parts = [
            Examples(given, wanted.squeeze(-1), of if settings.group else None, names)
            for given, wanted, of in zip(inputs, targets, (train[2], test[2]), strict=True)
        ]
        task = Task(
            "regression",
            "series",
            (settings.window, len(settings.columns)),
            settings.horizon,
            tuple(f"{target} + {step}" for step in range(1, settings.horizon + 1)),
            encoding=Encoding(features=features, targets=scaling),
        )
        return Dataset(task, *parts, notes=notes)

    def _read(self, target: str) -> tuple[FloatArray, IntArray, tuple[str, ...], tuple[str, ...]]:
        """Return values (rows, columns + 1), the target last; group of each row; names; notes."""
        settings = self.settings
        path = Path(settings.path).expanduser()
        named = [name for name in (settings.group, settings.time) if name]
        inputs = [*settings.columns, target]
        table = read_table(path, [*inputs, *named], "data.path")
        groups: IntArray = np.zeros(len(table.lines), dtype=np.int64)
        names: tuple[str, ...] = ()
        if settings.group:
            groups, names = groups_of(self._group_names(table, settings.group))
        values = np.array([table.numbers(column) for column in inputs]).T
        if settings.time:
            order = by_time(table, settings.time, groups)
            return values[order], groups[order], names, ()
        note = unordered(table, [*inputs, *named], groups)
        return values, groups, names, (note,) if note else ()

    def _group_names(self, table: Table, column: str) -> list[str]:
        """Return the name of each row's group.

        Raises:
            FedlabError: If one has none.
        """
        missing = is_missing(self.settings.missing)
        for row, field in enumerate(table.of(column)):
            if missing(field):
                stands = f" ('{field.strip()}' stands for a missing one; data.missing says so)"
                raise FedlabError(
                    f"{table.place(row, column)}: there is no group"
                    f"{stands if field.strip() else ''}"
                )
        return table.named(column)

    def _windows(
        self, values: FloatArray, groups: IntArray
    ) -> list[tuple[torch.Tensor, torch.Tensor, IntArray]]:
        """Return (inputs, targets, groups) of the training part and of the test part."""
        settings = self.settings
        parts: list[list[tuple[FloatArray, FloatArray, int]]] = [[], []]
        for group in np.unique(groups):
            series = values[groups == group]
            border = round(len(series) * (1 - settings.test_fraction))
            for part, piece in zip(parts, (series[:border], series[border:]), strict=True):
                part += [(*window, int(group)) for window in self._cut(piece)]
        if not parts[0] or not parts[1]:
            where = "training" if not parts[0] else "test"
            steps = settings.window + settings.horizon
            raise FedlabError(
                f"data.window: no series in {settings.path} has {steps} steps (window + horizon) "
                f"in its {where} part; shorten the window"
            )
        return [_stack(part) for part in parts]

    def _cut(self, series: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        window, horizon = self.settings.window, self.settings.horizon
        starts = range(0, len(series) - window - horizon + 1, self.settings.stride)
        return [
            (series[at : at + window, :-1], series[at + window : at + window + horizon, -1])
            for at in starts
        ]


def _stack(
    windows: list[tuple[FloatArray, FloatArray, int]],
) -> tuple[torch.Tensor, torch.Tensor, IntArray]:
    inputs, targets, groups = zip(*windows, strict=True)
    return (
        torch.from_numpy(np.stack(inputs)),
        torch.from_numpy(np.stack(targets)),
        np.array(groups, dtype=np.int64),
    )
