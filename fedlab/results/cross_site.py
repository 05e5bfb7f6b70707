"""The matrix of every client's model on every client's own part, in words and as a table."""

from __future__ import annotations

from statistics import fmean

from fedlab.metrics.names import metric_name
from fedlab.results.rows import CrossSite
from fedlab.results.text_tables import TextTable


def sentence_of(found: CrossSite) -> str:
    """Return what the matrix says: at home, elsewhere, and the model that all share."""
    metric = metric_name(found.metric)
    home = [found.matrix[k][k] for k in range(len(found.clients))]
    away = [v for k, row in enumerate(found.matrix) for n, v in enumerate(row) if n != k]

    def mean(values: list[float | None]) -> str:
        numbers = [value for value in values if value is not None]
        return metric.text(fmean(numbers)) if numbers else "nothing"

    return (
        f"In round {found.round} clients' models reach {mean(home)} {metric.label} at home and "
        f"{mean(away)} elsewhere; the model that they were sent {mean(list(found.whole))}."
    )


def table_of(found: CrossSite) -> TextTable:
    """Return a row for each client's model, and one for the model that all were sent."""
    metric = metric_name(found.metric)

    def cells(values: list[float | None]) -> list[str]:
        return ["–" if value is None else metric.text(value) for value in values]

    rows = [
        [f"client {client}", *cells(values)]
        for client, values in zip(found.clients, found.matrix, strict=True)
    ]
    rows.append(["sent to all", *cells(list(found.whole))])
    headers = ["model of", *(f"on {client}" for client in found.clients)]
    return TextTable(sentence_of(found), headers, rows)
