"""The Markdown page of a table: our figures next to the paper's, and how they were obtained."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.published.table import Column, Figure, Row, Table
from fedlab.metrics.names import metric_name

Result = dict[str, Any]


def page(name: str, table: Table, results: Sequence[Result], machine: str) -> str:
    """Return the page.

    Args:
        name: The table's name.
        table: The table.
        results: The runs, as :func:`benchmarks.published.running.read` returns them.
        machine: A description of the machine.
    """
    commits = sorted({f"{r['fedlab']} at {r['commit']}" for r in results})
    seeds = sorted({result["seed"] for result in results})
    lines = [
        f"# {table.title}",
        "",
        table.paper.strip(),
        "",
        *_paragraph(table.description),
        f"- Budget: {_joined(table.budget)}",
        f"- Shortened or different: {_joined(table.differs)}",
        f"- Seeds: {', '.join(map(str, seeds))}; fedlab {', '.join(commits)}; {machine}.",
        f"- Command: `python -m benchmarks.published {name}`; each figure with its settings stands "
        f"in [{name}.json]({name}.json).",
        "",
        f"{_figure_text(table, table.figure)}.{_brackets(table)}",
        "",
        *_grid(table, lambda row, column: _text(table, row, column, results)),
        "",
        *_second_grid(table, results),
        *_swept(table, results),
        *([f"![curves]({name}.png)", ""] if table.curves else []),
        *_paragraph(table.findings),
        *_missing(table, results),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _paragraph(text: str) -> list[str]:
    return [text.strip(), ""] if text.strip() else []


def _brackets(table: Table) -> str:
    return " **Ours**, and in brackets the paper's." if any(row.paper for row in table.rows) else ""


def _figure_text(table: Table, figure: Figure) -> str:
    metric = metric_name(figure.metric).label
    where = {"test": "on the server's test set", "clients": "on the clients' own test parts"}.get(
        figure.of, f"of {figure.of}"
    )
    what = {
        "last": f"Last {metric} {where}",
        "best": f"Best {metric} {where}",
        "mean": f"Mean {metric} of the last {figure.count} evaluations {where}",
        "rounds": f"Rounds until the {metric} {where} reaches {_target(figure)}",
    }[figure.take]
    unit = ", per cent" if _is_percent(figure) else ""
    best = f", the best of the swept {table.sweep.key}" if table.sweep else ""
    return f"{what}{unit}{best}"


def _target(figure: Figure) -> str:
    return metric_name(figure.metric).text(figure.target) if figure.target is not None else ""


def _is_percent(figure: Figure) -> bool:
    return metric_name(figure.metric).is_fraction and figure.take != "rounds"


def _grid(table: Table, text: Callable[[Row, Column], str]) -> list[str]:
    grouped = any(row.group for row in table.rows)
    heads = ([""] if grouped else []) + ["", *(column.name for column in table.columns)]
    rules = (["---"] if grouped else []) + ["---", *("---:" for _ in table.columns)]
    lines = [_line(heads), _line(rules)]
    before = None
    for row in table.rows:
        group = [row.group if row.group != before else ""] if grouped else []
        lines.append(_line([*group, row.name, *(text(row, column) for column in table.columns)]))
        before = row.group
    return lines


def _second_grid(table: Table, results: Sequence[Result]) -> list[str]:
    """Return the grid of the second figure of the same runs."""
    figure = table.also
    if figure is None:
        return []

    def text(row: Row, column: Column) -> str:
        chosen = best_of(table, row, _of(results, row, column))
        return _figures(figure, chosen, "also") if chosen else "not run"

    return [f"{_figure_text(table, figure)}:", "", *_grid(table, text), ""]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _of(results: Iterable[Result], row: Row, column: Column) -> list[Result]:
    wanted = (row.group, row.name, column.name)
    return [r for r in results if (r["group"], r["row"], r["column"]) == wanted]


def _text(table: Table, row: Row, column: Column, results: Sequence[Result]) -> str:
    chosen = best_of(table, row, _of(results, row, column))
    ours = f"**{_figures(table.figure_of(row), chosen)}**" if chosen else "not run"
    swept = f" at {chosen[0]['value']:g}" if chosen and "value" in chosen[0] else ""
    paper = f" ({row.paper[column.name]})" if column.name in row.paper else ""
    return f"{ours}{swept}{paper}"


def best_of(table: Table, row: Row, results: Sequence[Result]) -> list[Result]:
    """Return the runs of the swept value with the best mean figure; all runs without a sweep."""
    by_value: dict[float | None, list[Result]] = {}
    for result in results:
        by_value.setdefault(result.get("value"), []).append(result)
    figure = table.figure_of(row)
    higher = metric_name(figure.metric).higher_is_better and figure.take != "rounds"
    worst = float("-inf") if higher else float("inf")

    def mean(runs: list[Result]) -> float:
        figures = [worst if run["figure"] is None else run["figure"] for run in runs]
        return sum(figures) / len(figures)

    if not by_value:
        return []
    return max(by_value.values(), key=mean) if higher else min(by_value.values(), key=mean)


def _figures(figure: Figure, results: Sequence[Result], key: str = "figure") -> str:
    """Return the mean of the seeds' figures, with their standard deviation if there are several.

    Results that were saved before the table had a second figure lack its key.
    """
    got = [result[key] for result in results if result.get(key) is not None]
    if len(got) < len(results):
        lost = [_lost(figure, result) for result in results if result.get(key) is None]
        return ", ".join([*(_number(figure, value) for value in got), *lost])
    if len(got) == 1:
        return _number(figure, got[0])
    return f"{_number(figure, statistics.mean(got))} ± {_number(figure, statistics.stdev(got))}"


def _number(figure: Figure, value: float) -> str:
    if figure.take == "rounds":
        return f"{value:.0f}"
    return f"{100 * value:.1f}" if _is_percent(figure) else f"{value:.3g}"


def _lost(figure: Figure, result: Result) -> str:
    if result["status"] == "failed":
        return f"failed in round {result['rounds'] + 1}"
    return f"> {result['rounds']}" if figure.take == "rounds" else "nothing measured"


def _swept(table: Table, results: Sequence[Result]) -> list[str]:
    """Return the figures of every swept value."""
    if table.sweep is None:
        return []
    head = ["", "", *(f"{value:g}" for value in table.sweep.values)]
    lines = [f"All values of `{table.sweep.key}`:", "", _line(head)]
    lines.append(_line(["---", "---", *("---:" for _ in table.sweep.values)]))
    for row in table.rows:
        for column in table.columns:
            own = _of(results, row, column)
            texts = []
            for value in table.sweep.values:
                runs = [run for run in own if run["value"] == value]
                texts.append(_figures(table.figure_of(row), runs) if runs else "not run")
            lines.append(_line([row.name, column.name, *texts]))
    return [*lines, ""]


def _missing(table: Table, results: Sequence[Result]) -> list[str]:
    empty = [
        ", ".join(filter(None, (row.group, row.name, column.name)))
        for row in table.rows
        for column in table.columns
        if not _of(results, row, column)
    ]
    return [f"Not run yet: {'; '.join(empty)}.", ""] if empty else []
