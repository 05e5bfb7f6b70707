"""A user's own series in CSV files: forecasts of one column, or classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab import seeding
from fedlab.data.clients_by import Site, check_path_or_sites, check_sites, groups_of
from fedlab.data.dataset import Dataset, DataSettings, Encoding, Examples, Scaling, Task
from fedlab.data.formats.table import MISSING
from fedlab.data.holdout import hold_out_by_group
from fedlab.data.names import listed
from fedlab.data.scaling import standardise
from fedlab.data.series_table import (
    Gaps,
    Series,
    SeriesColumns,
    Windows,
    clients_in,
    cut,
    read_series,
)
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.settings import FilePath


class _Read(NamedTuple):
    series: list[Series]
    columns: SeriesColumns
    notes: tuple[str, ...]


@datasets.register("series-csv")
class SeriesCsv:
    """Your own series in CSV files: the next values of a column, or a class, from windows."""

    class Settings(DataSettings):
        """Keys of the series-csv data set."""

        name: str = "series-csv"
        path: FilePath | None = Field(
            None, description="CSV file with a header and one row per time step"
        )
        sites: tuple[Site, ...] = Field(
            (), description="in place of path, a table for each client: its name, and its file"
        )
        clients_by: str | None = Field(
            None, description="column that says whose series it is (site, subject): the clients"
        )
        series: str | None = Field(
            None, description="column that tells a client's series apart, where it has several"
        )
        columns: tuple[str, ...] = Field(
            (), description="input columns; default: all columns of numbers that are nothing else"
        )
        target: str | None = Field(
            None, description="column to forecast; default: the first of 'columns'"
        )
        label: str | None = Field(
            None,
            description="column of classes: windows are classified, and nothing is forecast; a "
            "window lies within steps of one class",
        )
        window: int = Field(24, ge=1, le=100_000, description="input steps")
        time: str | None = Field(
            None,
            description="column of times, numbers or ISO dates, by which each series is sorted; "
            "default: rows stay in the order of the file",
        )
        horizon: int = Field(1, ge=1, le=100_000, description="steps to forecast")
        stride: int = Field(1, ge=1, le=100_000, description="steps from one window to the next")
        missing: Gaps = Field(
            "refuse",
            description="what stands where a number is missing: 'interpolate', between the "
            "neighbours in its part; 'previous', the last one before; 'mean', of the column; "
            "targets are never filled in",
        )
        missing_words: tuple[str, ...] = Field(
            MISSING,
            description="words that stand for a missing value, in any case; an empty field always "
            "does",
        )
        test_fraction: float = Field(
            0.2,
            gt=0,
            lt=1,
            description="last part of each series, the server's test set; with classes and "
            "'series', whole series of each client",
        )
        test_clients: int = Field(
            0,
            ge=0,
            le=1_000_000,
            description="clients drawn for the server's test set, of which nothing is learned; 0 "
            "tests on all clients",
        )

        @model_validator(mode="before")
        @classmethod
        def _former_keys(cls, raw: Any) -> Any:
            """Take 'group' for clients_by, and a list under 'missing' for missing_words."""
            if not isinstance(raw, dict):
                return raw
            keys = dict(raw)
            if "group" in keys and "clients_by" not in keys:
                keys["clients_by"] = keys.pop("group")
            if isinstance(keys.get("missing"), list | tuple) and "missing_words" not in keys:
                keys["missing_words"] = keys.pop("missing")
            return keys

        @model_validator(mode="after")
        def _fits_together(self) -> Self:
            check_path_or_sites(self.path, self.sites, self.clients_by, "file")
            if self.label and self.target:
                raise ValueError("label asks for classes and target for a forecast; name one")
            return self

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 windows (N, window, columns) with the next values (N, horizon) or classes.

        Columns and targets are standardised by the training part's statistics.

        Raises:
            FedlabError: If a file or a column is missing, a field is no number, or no series is
                long enough for a window in both parts.
        """
        settings = self.settings
        read = self._read()
        parts, notes = self._parts(read.series, seed)
        train, test = (self._windows(part, read) for part in parts)
        for part, where in ((train, "training"), (test, "test")):
            if not len(part):
                steps = settings.window + (0 if settings.label else settings.horizon)
                raise FedlabError(
                    f"data.window: no series in {self._where} has {steps} steps "
                    f"{'' if settings.label else '(window + horizon) '}in its {where} part; "
                    "shorten the window"
                )
        short = self._short(parts[0])
        inputs, features = standardise(
            [torch.from_numpy(part.inputs) for part in (train, test)], read.columns.inputs
        )
        targets, task = self._task(read.columns, features, train, test)
        groups, names = self._groups([train, test])
        examples = [
            Examples(given, wanted, of, names)
            for given, wanted, of in zip(inputs, targets, groups, strict=True)
        ]
        return Dataset(task, *examples, notes=(*read.notes, *notes, *short))

    @property
    def _where(self) -> str:
        return str(self.settings.path or "data.sites")

    def _read(self) -> _Read:
        settings = self.settings
        target = None if settings.label else settings.target or next(iter(settings.columns), None)
        columns = SeriesColumns(
            settings.columns,
            target,
            settings.label,
            settings.clients_by,
            settings.series,
            settings.time,
            settings.missing,
            settings.missing_words,
        )
        if not settings.sites:
            path = Path(settings.path or "").expanduser()
            return self._with_target(_Read(*read_series(path, columns, "data.path")))
        check_sites(settings.sites)
        series: list[Series] = []
        notes: list[str] = []
        for number, site in enumerate(settings.sites):
            path, key = Path(site.path).expanduser(), f"data.sites.{number}.path"
            found = self._with_target(_Read(*read_series(path, columns, key)))
            # What the first site's inputs are, all sites' are.
            columns = found.columns
            series += [replace(one, client=site.name) for one in found.series]
            notes += found.notes
        return _Read(series, columns, tuple(notes))

    def _with_target(self, read: _Read) -> _Read:
        """Return series whose target is the first input, where no column is named at all."""
        columns = read.columns
        if columns.label or columns.target:
            return read
        series = [replace(one, target=one.values[:, 0]) for one in read.series]
        note = f"data.target: the column '{columns.inputs[0]}' is forecast"
        found = replace(columns, target=columns.inputs[0])
        return _Read(series, found, (*read.notes, note))

    def _parts(
        self, series: list[Series], seed: int
    ) -> tuple[tuple[list[Series], list[Series]], tuple[str, ...]]:
        """Return what is learned from and what is tested on, and notes."""
        settings, clients = self.settings, clients_in(series)
        if settings.test_clients:
            if settings.test_clients >= len(clients):
                raise FedlabError(
                    f"data.test_clients: {settings.test_clients} of {len(clients)} clients leave "
                    "none to learn from"
                )
            draw = seeding.numpy_generator(seed, "series", "test clients")
            held = {clients[n] for n in draw.choice(len(clients), settings.test_clients, False)}
            train = [one for one in series if one.client not in held]
            test = [one for one in series if one.client in held]
            return (train, test), (f"data.test_clients: tested on {listed(sorted(held))}",)
        if settings.label and settings.series:
            groups, _ = groups_of([one.client for one in series])
            kinds, _ = groups_of([one.labels[0] for one in series])
            rows = hold_out_by_group(groups, settings.test_fraction, seed, kinds)
            return ([series[n] for n in rows[0]], [series[n] for n in rows[1]]), ()
        train, test = [], []
        pieces = [run for one in series for run in one.runs()] if settings.label else series
        for piece in pieces:
            border = round(len(piece) * (1 - settings.test_fraction))
            train.append(piece.part(0, border))
            test.append(piece.part(border, len(piece)))
        return (train, test), ()

    def _windows(self, part: Sequence[Series], read: _Read) -> Windows:
        settings = self.settings
        pieces = [run for one in part for run in one.runs()] if settings.label else list(part)
        pieces = [piece for piece in pieces if len(piece)]
        return cut(pieces, settings.window, settings.horizon, settings.stride, settings.missing)

    def _short(self, train: Sequence[Series]) -> tuple[str, ...]:
        """Return a note on series that are too short to learn from, or are padded."""
        settings = self.settings
        needed = settings.window + (0 if settings.label else settings.horizon)
        pieces = [run for one in train for run in one.runs()] if settings.label else list(train)
        pieces = [piece for piece in pieces if len(piece)]
        short = sum(len(piece) < needed for piece in pieces)
        if not short:
            return ()
        if settings.label:
            return (
                f"data.window: {short} of {len(pieces)} stretches of one class have fewer than "
                f"{needed} steps, and are padded at their end with the mean",
            )
        return (
            f"data.window: {short} of {len(pieces)} series have fewer than {needed} steps (window "
            "+ horizon) in their training part: nothing is learned from them",
        )

    def _task(
        self, columns: SeriesColumns, features: Scaling, train: Windows, test: Windows
    ) -> tuple[list[torch.Tensor], Task]:
        """Return the targets of both parts, and the task."""
        settings = self.settings
        shape = (settings.window, len(columns.inputs))
        if settings.label:
            labels = tuple(sorted({*train.labels}))
            unknown = sorted({*test.labels} - {*labels})
            if len(labels) < 2 or unknown:
                what = f"{listed(unknown)} is tested and nothing of it is learned from"
                alone = f"there is one class to learn, {listed(labels)}, and two or more are needed"
                raise FedlabError(f"data.label: {what if unknown else alone}")
            numbers = {name: number for number, name in enumerate(labels)}
            targets = [
                torch.tensor([numbers[name] for name in part.labels]) for part in (train, test)
            ]
            task = Task(
                "classification",
                "series",
                shape,
                len(labels),
                labels,
                encoding=Encoding(features=features),
            )
            return targets, task
        target = columns.target or ""
        raw = [torch.from_numpy(part.targets).unsqueeze(-1) for part in (train, test)]
        wanted, common = standardise(raw, [target])
        steps = settings.horizon
        names = tuple(f"{target} + {step}" for step in range(1, steps + 1))
        scaling = Scaling((target,) * steps, common.offset * steps, common.scale * steps)
        task = Task(
            "regression",
            "series",
            shape,
            steps,
            names,
            encoding=Encoding(features=features, targets=scaling),
        )
        return [part.squeeze(-1) for part in wanted], task

    def _groups(self, parts: Sequence[Windows]) -> tuple[list[Any], tuple[str, ...]]:
        """Return the client of each window of both parts, and the clients' names."""
        if not (self.settings.clients_by or self.settings.sites):
            return [None] * len(parts), ()
        numbers, names = groups_of([name for part in parts for name in part.clients])
        return np.split(numbers, [len(parts[0])]), names
