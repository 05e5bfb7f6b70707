"""Sites of tables: files with the federation's columns, and perhaps others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch

from fedlab.data.dataset import Encoding, Examples, Scaling, Task
from fedlab.data.names import class_name, listed
from fedlab.data.sites.kind import SiteKind
from fedlab.data.sites.moments import Moments
from fedlab.data.sites.rows import Difference, Differs, SiteRows, numbered
from fedlab.data.sites.settings import SiteColumn
from fedlab.data.table_encoding import UNSEEN, Fitted, FloatArray, TableColumn, TableEncoding
from fedlab.data.tables.columns import category_name, kind_of, raw_of
from fedlab.data.tables.reading import Frame, missing_in
from fedlab.data.tables.rows import read_rows, read_test, usable
from fedlab.data.tables.target import target_labels, target_numbers
from fedlab.errors import FedlabError


class Tables(SiteKind):
    """Rows of columns that the scenario lists."""

    sources: ClassVar[tuple[str, ...]] = ("table",)

    @property
    def _columns(self) -> tuple[TableColumn, ...]:
        return tuple(
            TableColumn(
                class_name(name),
                column.kind,
                tuple(category_name(value) for value in column.values),
                column.optional and self.settings.missing == "indicator",
            )
            for name, column in self.settings.columns.items()
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return a name for each raw number that is scaled: those of numbers and of dates."""
        return tuple(
            c.name if c.slots == 1 else f"{c.name}.{slot}"
            for c in self._columns
            for slot in range(c.slots)
            if c.kind != "category"
        )

    @property
    def _is_scaled(self) -> list[bool]:
        return [c.kind != "category" for c in self._columns for _ in range(c.slots)]

    def numbers(self, raw: FloatArray) -> FloatArray:
        """Return the slots that are no categories'."""
        return raw[:, self._is_scaled]

    def given(self) -> list[tuple[float, float]]:
        """Return mean and deviation of each column of numbers."""
        return [
            (column.mean or 0.0, column.deviation or 1.0)
            for column in self.settings.columns.values()
            if column.kind != "category"
        ]

    def task(self, moments: Moments | None) -> Task:
        """Return the classification or regression, with how rows are encoded."""
        features, targets = self.scaling(moments)
        encoding = TableEncoding(
            self._columns,
            self._fitted(features),
            class_name(self.settings.target or "target"),
            "refuse" if self.settings.missing == "refuse" else self.settings.missing,
        )
        kind, outputs, labels = self.kind_of_task()
        reported: tuple[str, ...] = ("rmse", "mae", "r2")
        if labels and kind == "classification":
            ranking = ("auroc", "auprc") if outputs == 2 else ("auroc",)
            reported = ("accuracy", "balanced_accuracy", *ranking, "macro_f1", "calibration_error")
        return Task(
            kind,
            "tabular",
            (sum(encoding.widths),),
            outputs,
            labels,
            encoding=Encoding(targets=targets, table=encoding),
            reported=reported,
            metrics="" if kind == "classification" else "regression-in-units",
        )

    def _fitted(self, features: Scaling | None) -> Fitted:
        """Return what is done with each slot: numbers are scaled, a missing one is the mean."""
        scaled = iter(zip(features.offset, features.scale, strict=True) if features else ())
        slots = [
            (mean, mean, deviation) if is_number else (UNSEEN, 0.0, 1.0)
            for is_number, (mean, deviation) in (
                (flag, next(scaled) if flag else (0.0, 1.0)) for flag in self._is_scaled
            )
        ]
        fill, offset, scale = (tuple(part) for part in zip(*slots, strict=True))
        return Fitted(fill, offset, scale)

    def rows(self, data: Any) -> SiteRows:
        """Return the rows of a site's files."""
        # What the federation does about missing values, it says itself.
        settings = data.model_copy(update={"missing": "indicator"})
        read = usable(read_rows(settings), settings)
        frames = [read.frame]
        if settings.test_path is not None:
            frames.append(read_test(settings, ()).frame)
        found = [self._of(frame, settings) for frame in frames]
        inputs = torch.from_numpy(np.concatenate([raw for raw, _ in found]))
        targets = torch.cat([wanted for _, wanted in found])
        held_out = len(found[1][1]) if len(found) > 1 else 0
        return SiteRows(
            Examples(inputs, targets), held_out, (*read.notes, *self._ignored(read.frame, settings))
        )

    def _of(self, frame: Frame, settings: Any) -> tuple[FloatArray, torch.Tensor]:
        """Return raw inputs, (rows, slots), and targets of a file.

        Raises:
            Differs: If columns are missing, or hold something else.
        """
        words = settings.missing_words
        differences = [
            difference
            for column, keys in zip(self._columns, self.settings.columns.values(), strict=True)
            for difference in _differences(frame, column, keys, missing_in(words))
        ]
        column = class_name(settings.target)
        targets = torch.empty(0)
        try:
            if self.settings.classes:
                targets = numbered(target_labels(frame, column), self.settings.class_names)
            else:
                targets = torch.from_numpy(target_numbers(frame, column)).unsqueeze(1)
        except Differs as error:
            differences += error.differences
        except FedlabError as error:
            differences.append(Difference(str(error), "what is learned is no number in some row"))
        if differences:
            raise Differs(differences)
        return raw_of(frame, self._columns, words), targets

    def _ignored(self, frame: Frame, settings: Any) -> tuple[str, ...]:
        known = {column.name for column in self._columns} | {class_name(settings.target)}
        others = [name for name in frame.columns if name not in known]
        if not others:
            return ()
        return (f"data.path: the federation does not learn from {listed(others)}",)

    def encode(self, rows: SiteRows, task: Task) -> Examples:
        """Return rows as features, with classes or scaled numbers."""
        assert task.encoding is not None
        assert task.encoding.table is not None
        raw = rows.examples.inputs.numpy()
        features = torch.from_numpy(task.encoding.table.encode(raw))
        plain = SiteRows(rows.examples.with_inputs(features), rows.held_out)
        return super().encode(plain, task)


def _differences(
    frame: Frame, column: TableColumn, keys: SiteColumn, absent: Any
) -> Iterator[Difference]:
    """Tell how a column differs from what the federation asks for."""
    name = column.name
    if name not in frame.columns:
        yield Difference.of(f"column '{name}' is missing")
        return
    fields = frame.columns[name]
    gone = absent(fields)
    if gone.any() and not keys.optional:
        row = int(np.flatnonzero(gone)[0])
        yield Difference(
            f"{frame.place(row, name)}: there is no value, and data.columns.{name}.optional is "
            "false",
            f"column '{name}' lacks values, and data.columns.{name}.optional is false",
        )
    if column.kind == "category":
        known = {*column.values}
        found = {category_name(fields[row]) for row in np.flatnonzero(~gone)}
        strange = sorted(found - known)
        if strange and not keys.others:
            yield Difference(
                f"column '{name}' holds {listed(strange)}, which the federation's values lack",
                f"column '{name}' holds values that the federation's lack",
            )
        return
    try:
        kind_of(frame, name, gone, column.kind)
    except FedlabError as error:
        yield Difference(str(error), f"column '{name}' holds something that is no {column.kind}")
