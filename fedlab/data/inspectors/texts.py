"""Texts: tables with a column of sentences, JSON lines, folders of .txt, files of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedlab.data.formats import json_lines, parquet
from fedlab.data.formats.columns import first_columns
from fedlab.data.formats.table import finite
from fedlab.data.formats.text_file import TEXT_SUFFIXES
from fedlab.data.inspection import Contents, Finding
from fedlab.data.names import shown
from fedlab.data.tables.reading import PARQUET_SUFFIXES
from fedlab.data.texts.reading import read_texts
from fedlab.data.texts.rows import TextRows
from fedlab.data.texts.settings import TextSettings
from fedlab.data.texts.tables import LABEL_NAMES, TEXT_NAMES, find_text, read_text_frame
from fedlab.data.texts.targets import targets_of
from fedlab.data.tokenisers import AUTO, lengths_for, tokeniser_for, unit_of
from fedlab.registry import inspectors

_WORDS = 4
"""That fields have on average in a column of sentences."""
_ROWS = 29
RATE = 0.02
"""Of fastText, whose words each occur in few batches."""


@inspectors.register("texts")
class Texts:
    """Texts with classes or scores, in tables, JSON lines or folders of .txt."""

    def claim(self, contents: Contents) -> float:
        """Return how surely these are texts: by suffixes, and by a table's first lines."""
        if contents.files and contents.share(json_lines.SUFFIXES) > 0.9:
            return 0.7
        if contents.share(TEXT_SUFFIXES) > 0.5 and not contents.is_file:
            return 0.8
        if contents.share({".csv", ".tsv"}) > 0.5 and _has_sentences(
            first_columns(contents.head())
        ):
            return 0.7
        if contents.is_file and contents.share(PARQUET_SUFFIXES):
            return 0.7 * _has_sentences(parquet.first_columns(contents.path, _ROWS))
        return 0.0

    def inspect(self, contents: Contents) -> Finding:
        """Return what the texts are, read as training reads them."""
        path = str(contents.path)
        label = _likeliest_label(contents) if contents.is_file else None
        settings = TextSettings(path=path, on_error="skip", label_column=label)
        rows = read_texts(settings)
        where = shown(contents.path)
        targets = targets_of(rows, settings.targets, where)
        tokeniser = tokeniser_for(AUTO, rows.texts, settings.vocabulary)
        lengths = lengths_for(tokeniser, rows.texts, None)
        unit = unit_of(tokeniser)
        span = f"{lengths.least} to {lengths.most} {unit}, median {lengths.median}"
        facts = [("length", span)]
        if targets.classes:
            predicted = f"{len(targets.classes)} classes"
        else:
            numbers = targets.values.numpy()
            predicted = f"numbers from {np.min(numbers):g} to {np.max(numbers):g} (regression)"
        facts.append(("predicted", predicted))
        if rows.columns:
            facts.append(("columns", f"text '{rows.columns[0]}', target '{rows.columns[1]}'"))
        return Finding(
            "texts",
            contents.path,
            len(rows),
            layout=_layout(contents, rows),
            classes=dict(sorted(Counter(rows.labels).items())) if targets.classes else {},
            facts=tuple(facts),
            notes=(*rows.notes, *targets.notes, *_duplicates(rows)),
            details={
                "least": lengths.least,
                "median": lengths.median,
                "most": lengths.most,
                "words": int(np.median([len(text.split()) for text in rows.texts])),
            },
            scenario=_scenario(contents.path, rows),
        )


def _has_sentences(columns: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a column of a table holds sentences, by its first rows."""
    for name, column in columns.items():
        fields = column[:_ROWS]
        words = sum(len(field.split()) for field in fields) / max(1, len(fields))
        is_named = name.strip().lower() in TEXT_NAMES[:10]
        numbers = all(finite(field) is not None for field in fields if field.strip())
        if not numbers and (words >= _WORDS or (is_named and words >= 1)):
            return True
    return False


def _likeliest_label(contents: Contents) -> str | None:
    """Return the column with the fewest values, of a table that has none with a usual name."""
    frame = read_text_frame(contents.path, TextSettings(path="-"), "data.path")
    lower = {name.lower() for name in frame.columns}
    if lower & set(LABEL_NAMES):
        return None
    text = find_text(frame, None, ())
    distinct = {n: len(set(fields)) for n, fields in frame.columns.items() if n != text}
    several = {name: count for name, count in distinct.items() if count > 1}
    return min(several, key=lambda name: several[name], default=None)


def _layout(contents: Contents, rows: TextRows) -> str:
    if rows.is_table:
        return "a table" if contents.is_file else "a folder of tables"
    return "an example a line, a file a class" if rows.by_line else "a folder a class"


def _duplicates(rows: TextRows) -> tuple[str, ...]:
    again = len(rows) - len(set(rows.texts))
    return (f"{again} texts are there more than once",) if again else ()


def _scenario(path: Path, rows: TextRows) -> dict[str, Any]:
    """Return tables that learn such texts well, as a start: fastText, in large steps."""
    data: dict[str, Any] = {"name": "text", "path": str(path.absolute())}
    if rows.columns:
        data |= {"text_column": rows.columns[0], "label_column": rows.columns[1]}
    if any("left out" in note and "cannot be read" in note for note in rows.notes):
        data["on_error"] = "skip"
    return {
        "data": data,
        "model": {"name": "fasttext"},
        "client": {"optimizer": {"lr": RATE}},
        "evaluation": {"baselines": ["centralised", "local"]},
    }
