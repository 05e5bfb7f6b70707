"""All figures of runs as one table of a row each, for pandas, R or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.files import write_whole
from fedlab.results.parsing import read_lines
from fedlab.results.reading import RunRecord
from fedlab.results.rows import ClientRow
from fedlab.results.run_groups import seed_of
from fedlab.results.scalars import scalars_by_run

SUFFIXES = (".csv", ".parquet")
COLUMNS = ("run", "seed", "part", "round", "metric", "value")
CLIENT_COLUMNS = ("run", "seed", "round", "client", "phase", "examples", "metric", "value")


def write_metrics(records: Sequence[RunRecord], path: Path, of_clients: bool = False) -> int:
    """Write a row for each figure of each round; return how many.

    Args:
        records: The runs.
        path: The file; ".csv" or ".parquet" says which kind.
        of_clients: Write what each client reported in place of the rounds' figures.

    Raises:
        FedlabError: If the suffix is another, or the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise FedlabError(f"--output: {path} has to end in {' or '.join(SUFFIXES)}")
    columns = CLIENT_COLUMNS if of_clients else COLUMNS
    found = _client_rows if of_clients else _rows
    rows = [row for record in records for row in found(record)]
    write_whole(path, _encoded(path.suffix.lower(), columns, rows))
    return len(rows)


def _rows(record: RunRecord) -> Iterator[tuple[Any, ...]]:
    seed = seed_of(record)
    for part, scalars in scalars_by_run(record).items():
        for name, value, number in scalars:
            yield record.name, seed, part, number, name, float(value)


def _client_rows(record: RunRecord) -> Iterator[tuple[Any, ...]]:
    seed = seed_of(record)
    for line in read_lines(record.path / files.CLIENTS, ClientRow):
        for name, value in line.values.items():
            yield (
                *(record.name, seed, line.round, line.client, line.phase, line.examples),
                *(name, float(value)),
            )


def _encoded(suffix: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> bytes:
    if suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return text.getvalue().encode()
    import pyarrow as pa
    from pyarrow import parquet

    by_column = zip(*rows, strict=True) if rows else [[]] * len(columns)
    table = pa.table({name: list(v) for name, v in zip(columns, by_column, strict=True)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
