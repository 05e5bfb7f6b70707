"""One round of a run: its metrics, what it cost, and its clients one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError, one_line
from fedlab.metrics.names import metric_name, steps_text
from fedlab.metrics.quantities import bytes_text, seconds_text
from fedlab.results.reading import RunRecord
from fedlab.results.rows import ClientRow, RoundRow, Spread
from fedlab.results.text_tables import TextTable
from fedlab.ui.lines import lines_of_round

MOST_CLIENTS = 20_000
"""Clients of a round that are sent to the page."""
NOT_SHOWN = "digest"
_PHASES = {"train": "training", "evaluate": "own part"}
UNSEEN = "unseen"
"""The phase of clients that never train."""


def round_of(record: RunRecord, number: int) -> dict[str, Any]:
    """Return what a run's files say of a round.

    Raises:
        FedlabError: If there is no such round, or a line is damaged.
    """
    place = next((p for p, row in enumerate(record.rounds) if row.round == number), None)
    if place is None:
        raise FedlabError(f"{record.name} has no round {number}")
    row = record.rounds[place]
    before = next((r for r in reversed(record.rounds[:place]) if r.test), None)
    return {
        "round": row.round,
        "metrics": _metrics(row, before),
        "facts": _facts(row),
        "tables": [table_json(table) for table in _tables(row)],
        "clients": clients_of(record, number),
        "failures": [
            {
                "client": failure.client,
                "phase": one_line(failure.phase, 40),
                "reason": one_line(failure.reason, 400),
                "traceback": failure.traceback or "",
            }
            for failure in record.failures
            if failure.round == number
        ],
    }


def clients_of(record: RunRecord, number: int) -> list[dict[str, Any]]:
    """Return the clients of a round: its cohort, and those that never train, where there are some.

    Each is a table with a ``title``, ``columns`` and ``rows``, a client each, and ``is_cut`` where
    there are more. A column has a ``label`` and a ``kind``: "text", "count", "seconds", "fraction"
    or "number".
    """
    cohort: dict[int, dict[str, Any]] = {}
    unseen: dict[int, dict[str, Any]] = {}
    is_cut = False
    for line in lines_of_round(record.path / files.CLIENTS, number, "the rounds can be read"):
        lines = unseen if line.phase == UNSEEN else cohort
        if line.client not in lines and len(lines) >= MOST_CLIENTS:
            is_cut = True
            continue
        lines.setdefault(line.client, {}).update(_cells(line))
    for failure in record.failures:
        if failure.round == number and len(cohort) < MOST_CLIENTS:
            cohort.setdefault(failure.client, {})["failure"] = one_line(failure.reason, 200)
    names = record.partition.names if record.partition else []
    more = ", the first of more" if is_cut else ""
    found = {"Clients": _table(cohort, names), "New clients": _table(unseen, names)}
    return [
        {"title": f"{title} of round {number}: {len(table['rows']):,}{more}", **table}
        for title, table in found.items()
        if table["rows"]
    ]


def _table(lines: Mapping[int, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    keys = dict.fromkeys(key for cells in lines.values() for key in cells)
    columns = [{"label": "client", "kind": "count"}]
    if names:
        columns.append({"label": "name", "kind": "text"})
    columns += [_column(key) for key in keys]
    rows = [
        [client, *([_named(names, client)] if names else []), *(cells.get(key) for key in keys)]
        for client, cells in sorted(lines.items())
    ]
    return {"columns": columns, "rows": rows}


def table_json(table: TextTable) -> dict[str, Any]:
    """Return a table for the page."""
    return {
        "title": table.title,
        "headers": list(table.headers),
        "rows": [list(row) for row in table.rows],
        "texts": table.texts,
    }


def _cells(line: ClientRow) -> dict[str, Any]:
    cells: dict[str, Any] = {f"{line.phase}.examples": line.examples}
    for name, value in line.values.items():
        if name != NOT_SHOWN:
            cells[f"{line.phase}.{name}"] = value
    return cells


def _column(key: str) -> dict[str, str]:
    if key == "failure":
        return {"label": "failure", "kind": "text"}
    phase, _, name = key.partition(".")
    where = "" if phase == UNSEEN else f", {_PHASES.get(phase, one_line(phase, 40))}"
    if name in ("examples", "steps", "cluster", "repeated_steps"):
        return {"label": f"{name.replace('_', ' ')}{where}", "kind": "count"}
    if name == "seconds":
        return {"label": f"time{where}", "kind": "seconds"}
    metric = metric_name(name)
    kind = "fraction" if metric.is_fraction else "number"
    return {"label": f"{metric.label}{where}", "kind": kind}


def _named(names: Sequence[str], client: int) -> str:
    return one_line(names[client], 80) if client < len(names) else ""


def _metrics(row: RoundRow, before: RoundRow | None) -> list[dict[str, str]]:
    """Return the metrics on the server's test set, and what the last measured round had."""
    found = []
    for name, value in row.test.items():
        metric = metric_name(name)
        earlier = before.test.get(name) if before else None
        note = "" if earlier is None or before is None else _change(metric, value, earlier, before)
        found.append({"label": f"test {metric.label}", "value": metric.text(value), "note": note})
    for name, value in row.validation.items():
        metric = metric_name(name)
        label = f"{metric.label} on validation parts"
        found.append({"label": label, "value": metric.text(value), "note": ""})
    return found


def _change(metric: Any, value: float, earlier: float, before: RoundRow) -> str:
    if value == earlier:
        return f"as in round {before.round}"
    word = "better" if metric.better(value, earlier) else "worse"
    return f"{metric.difference(value - earlier)} {word} than round {before.round}"


def _facts(row: RoundRow) -> list[tuple[str, str]]:
    found = [
        ("replies", f"{row.replies:,} of {row.cohort:,} clients" if row.cohort else "no training")
    ]
    if row.cohort:
        found.append(("failures", f"{row.failures:,}"))
        if row.dropped:
            found.append(("stragglers dropped", f"{row.dropped:,}"))
        found.append(("to clients", bytes_text(row.bytes_down)))
        found.append(("from clients", bytes_text(row.bytes_up)))
        if row.bytes_saved:
            found.append(("saved on the way up", bytes_text(row.bytes_saved)))
        if row.bytes_down_saved:
            found.append(("saved on the way down", bytes_text(row.bytes_down_saved)))
    total = row.seconds.get("total")
    if total is not None:
        found.append(("time", seconds_text(total)))
    found += [
        (one_line(phase, 40), seconds_text(value))
        for phase, value in row.seconds.items()
        if phase != "total"
    ]
    return found


def _tables(row: RoundRow) -> Iterable[TextTable]:
    spreads = {
        "Clients on their own parts": row.clients,
        "Clients after training, as they report it": row.train,
        **{f"New clients after {steps_text(n)}": found for n, found in row.unseen.items()},
    }
    for title, found in spreads.items():
        if found:
            yield _spread_table(title, found)
    if row.sites:
        names = list(dict.fromkeys(name for metrics in row.sites.values() for name in metrics))
        shown = [name for name in names if name != "examples"]
        headers = ["site", "examples", *(metric_name(name).label for name in shown)]
        rows = [
            [one_line(site, 80), _count(metrics), *(_cell(metrics, name) for name in shown)]
            for site, metrics in row.sites.items()
        ]
        yield TextTable("The global model on each site's test examples", headers, rows)


def _spread_table(title: str, found: Mapping[str, Spread]) -> TextTable:
    headers = ["metric", "mean", "std", "worst tenth", "lowest", "highest"]
    rows = []
    for name, spread in found.items():
        metric = metric_name(name)
        values = (spread.mean, spread.std, spread.worst_decile, spread.min, spread.max)
        rows.append([metric.label, *map(metric.text, values)])
    return TextTable(title, headers, rows)


def _count(metrics: Mapping[str, float]) -> str:
    return f"{metrics['examples']:,.0f}" if "examples" in metrics else "–"


def _cell(metrics: Mapping[str, float], name: str) -> str:
    return metric_name(name).text(metrics[name]) if name in metrics else "–"
