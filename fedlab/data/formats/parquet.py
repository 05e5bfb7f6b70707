"""Parquet files as columns of text. pyarrow is imported when the first one is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedlab.data.names import shown
from fedlab.errors import FedlabError, one_line


def read_parquet(path: Path) -> tuple[dict[str, list[str]], int]:
    """Return a Parquet file's columns by name, and how many rows they have.

    Numbers are written so that reading them gives the same ones, dates as ISO 8601 writes them; a
    missing value is empty.

    Raises:
        FedlabError: If it is no Parquet file, or a column holds lists, structures or bytes.
    """
    import pyarrow
    import pyarrow.parquet

    where = shown(path)
    try:
        table: Any = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise FedlabError(f"{where} is no Parquet file: {one_line(str(error), 120)}") from error
    found: dict[str, list[str]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        # pandas stores its row numbers so.
        if name.startswith("__index_level_"):
            continue
        if name.strip() in found:
            raise FedlabError(f"{where}: two columns are called '{name.strip()}'; rename one")
        kind = column.type
        if pyarrow.types.is_nested(kind) and not pyarrow.types.is_dictionary(kind):
            raise FedlabError(
                f"{where}: column '{name}' holds {kind}, and a table holds numbers, words and "
                "dates; take the column out or split it into several"
            )
        found[name.strip()] = [_text(value, where, name) for value in column.to_pylist()]
    if not table.num_rows or not found:
        raise FedlabError(f"{where} holds no rows")
    return found, table.num_rows


def first_columns(path: Path, rows: int) -> dict[str, list[str]]:
    """Return the first fields of each column of a Parquet file; "0" for what is no word.

    Nothing where it cannot be read: it is a guess that asks, and reading says what is wrong.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batch: Any = next(file.iter_batches(batch_size=rows), None)
    except (pyarrow.ArrowException, OSError):
        return {}
    if batch is None:
        return {}
    fields = ([v if isinstance(v, str) else "0" for v in c.to_pylist()] for c in batch.columns)
    return dict(zip(batch.schema.names, fields, strict=True))


def _text(value: Any, where: str, name: str) -> str:
    """Return one value as a text file would hold it."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        raise FedlabError(f"{where}: column '{name}' holds bytes; a table holds numbers and words")
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return repr(value) if isinstance(value, float) else str(value)
