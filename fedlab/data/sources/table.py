"""A user's own table: CSV, TSV and Parquet files, one for all or one for each client."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fedlab.data.dataset import Dataset, Encoding, Examples, Scaling, Task
from fedlab.data.names import class_name, listed
from fedlab.data.table_encoding import FloatArray, TableColumn, TableEncoding
from fedlab.data.tables.columns import Found, column_of, examine, notes_on_words, raw_of, summary
from fedlab.data.tables.reading import missing_in
from fedlab.data.tables.rows import Rows, inputs_of, read_rows, read_test, usable
from fedlab.data.tables.settings import SITE, TableSettings
from fedlab.data.tables.splitting import stratified
from fedlab.data.tables.statistics import fit
from fedlab.data.tables.target import (
    Target,
    read_target,
    target_classes,
    target_numbers,
)
from fedlab.errors import FedlabError
from fedlab.registry import datasets


@datasets.register("table")
class Table:
    """Your own table (CSV, TSV, Parquet): classes or numbers from columns, a site a client."""

    Settings = TableSettings

    def __init__(self, settings: TableSettings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return float32 features (N, F) with classes (N,) or scaled numbers (N, 1).

        Groups are the clients, in both parts. All statistics are the training part's.

        Raises:
            FedlabError: If a file or a column is missing, a field is not of its column's kind, or
                there is nothing to learn; the message names file, line and column.
        """
        settings = self.settings
        rows = usable(read_rows(settings), settings)
        name = class_name(settings.target)
        target = read_target(rows.frame, name, settings.target_kind, settings.positive)
        found = self._examined(rows)
        train, test, values, split = self._parts(rows, target, seed)
        encoding, columns = self._encoding(train, found)
        own = bool(encoding.by_client)
        inputs = [
            encoding.encode(
                raw_of(part.frame, encoding.columns, encoding.missing_words),
                part.groups if own and part.names else None,
            )
            for part in (train, test)
        ]
        wanted, scaling = _targets(target, values)
        task = Task(
            "classification" if target.labels else "regression",
            "tabular",
            (inputs[0].shape[1],),
            len(target.labels) or 1,
            target.labels or (name,),
            encoding=Encoding(targets=scaling, table=encoding),
            reported=_reported(target),
            metrics="" if target.labels else "regression-in-units",
        )
        parts = [
            Examples(torch.from_numpy(given), aim, of.groups if of.names else None, of.names)
            for given, aim, of in zip(inputs, wanted, (train, test), strict=True)
        ]
        return Dataset(task, *parts, notes=(*rows.notes, target.note, *columns, *split))

    def _parts(
        self, rows: Rows, target: Target, seed: int
    ) -> tuple[Rows, Rows, list[FloatArray], list[str]]:
        """Return the training part, the test part, the targets of both, and notes."""
        settings, name = self.settings, class_name(self.settings.target)
        if settings.test_path is not None:
            test = read_test(settings, rows.names)
            numbers = {label: number for number, label in enumerate(target.labels)}
            found = (
                target_classes(test.frame, name, numbers)
                if target.labels
                else target_numbers(test.frame, name)
            )
            return rows, test, [target.values, found], []
        classes = target.values.astype(np.int64) if target.labels else None
        chosen = stratified(rows.groups, classes, settings.test_fraction, seed)
        rest = np.setdiff1d(np.arange(len(rows.frame)), chosen)
        if len(chosen) == 0:
            raise FedlabError(
                f"data.test_fraction: {len(rows.frame)} rows are too few for a test part"
            )
        tested = set(rows.groups[chosen].tolist())
        few = [name for number, name in enumerate(rows.names) if number not in tested]
        notes = [f"no row of {listed(few)} is in the test part: there are too few"] if few else []
        parts = (rows.take(rest), rows.take(chosen))
        return *parts, [target.values[rest], target.values[chosen]], notes

    def _examined(self, rows: Rows) -> dict[str, Found]:
        """Return what each column holds that may be an input, by name."""
        settings, is_missing = self.settings, missing_in(self.settings.missing_words)
        asked = {class_name(name): kind for name, kind in settings.columns.items()}
        return {
            name: examine(rows.frame, name, is_missing(rows.frame.columns[name]), asked.get(name))
            for name in inputs_of(rows, settings)
        }

    def _encoding(self, train: Rows, found: dict[str, Found]) -> tuple[TableEncoding, list[str]]:
        """Return how the training part is encoded, and notes on the columns."""
        settings, is_missing = self.settings, missing_in(self.settings.missing_words)
        columns = [
            column_of(
                train.frame,
                name,
                column.kind,
                is_missing(train.frame.columns[name]),
                settings.missing,
                settings.most_values,
            )
            for name, column in found.items()
            if not column.left_out
        ]
        notes = _notes(found, columns, settings)
        if not columns:
            raise FedlabError(
                f"data.path: no column is left to learn '{settings.target}' from: "
                f"{'; '.join(notes) or 'there is no other column'}"
            )
        raw = raw_of(train.frame, columns, settings.missing_words)
        clients = [raw[train.groups == group] for group in range(max(len(train.names), 1))]
        together = fit([part for part in clients if len(part)], columns, settings.missing)
        own: dict[str, Any] = {}
        if settings.statistics == "client":
            if not train.names:
                raise FedlabError(
                    "data.statistics: 'client' needs to know who is a client; set data.clients_by "
                    "or [[data.sites]], or leave statistics at 'federated'"
                )
            fitted = tuple(fit([part], columns, settings.missing, together) for part in clients)
            by = class_name(settings.clients_by or SITE)
            own = {"clients_by": by, "clients": train.names, "by_client": fitted}
        encoding = TableEncoding(
            tuple(columns),
            together,
            class_name(settings.target),
            settings.missing,
            settings.missing_words,
            text_encoding=settings.encoding,
            **own,
        )
        return encoding, notes


def _reported(target: Target) -> tuple[str, ...]:
    """Return the metrics that suit what is learned."""
    if not target.labels:
        return "rmse", "mae", "r2"
    ranking = ("auroc", "auprc") if len(target.labels) == 2 else ("auroc",)
    return "accuracy", "balanced_accuracy", *ranking, "macro_f1", "calibration_error"


def _targets(target: Target, parts: list[FloatArray]) -> tuple[list[torch.Tensor], Scaling | None]:
    """Return classes (N,) of each part, or numbers (N, 1) scaled by the first part's statistics."""
    if target.labels:
        return [torch.from_numpy(values).long() for values in parts], None
    column = TableColumn("target", "number")
    fitted = fit([parts[0][:, None]], [column], "mean")
    scaled = [(values[:, None] - fitted.offset[0]) / fitted.scale[0] for values in parts]
    scaling = Scaling(("target",), fitted.offset, fitted.scale)
    return [torch.from_numpy(values).float() for values in scaled], scaling


def _notes(
    found: dict[str, Found], columns: list[TableColumn], settings: TableSettings
) -> list[str]:
    """Return what the user should know of the columns, a sentence each."""
    told = summary(found)
    notes = [f"inputs: {'; '.join(told)}"] if told else []
    by_reason: dict[str, list[str]] = {}
    for name, column in found.items():
        if column.left_out:
            by_reason.setdefault(column.left_out, []).append(name)
    notes += [
        f"column {listed(names)} is no input: {reason}" for reason, names in by_reason.items()
    ]
    notes += notes_on_words(found)
    gaps = {name: column.missing for name, column in found.items() if column.missing}
    gaps = {name: count for name, count in gaps.items() if not found[name].left_out}
    if gaps:
        told = [f"{name} {count}" for name, count in list(gaps.items())[:12]]
        more = f" and {len(gaps) - 12} columns more" if len(gaps) > 12 else ""
        how = f"data.missing = '{settings.missing}'"
        notes.append(f"missing values ({how}): {', '.join(told)}{more}")
    full = {column.name for column in columns if len(column.values) == settings.most_values}
    rare = [name for name in full if found[name].distinct > settings.most_values]
    if rare:
        notes.append(
            f"column {listed(sorted(rare))} has more than {settings.most_values} values; the "
            "rarest have no input of their own (data.most_values)"
        )
    return notes
