"""The tables of a report, as texts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from fedlab.errors import one_line
from fedlab.metrics.names import metric_name
from fedlab.metrics.quantities import bytes_text, seconds_text
from fedlab.results.reading import RunRecord
from fedlab.results.rows import Confusion

FAILURES_SHOWN = 50
REASONS_SHOWN = 10
CONFUSIONS_SHOWN = 5


@dataclass(frozen=True)
class Table:
    """A table of texts; all columns after the first ``words`` ones are numeric."""

    headers: list[str]
    rows: list[list[str]]
    title: str
    words: int = 1
    folded: bool = False


def rounds_table(record: RunRecord) -> Table:
    """Return every round with its test metrics, replies and cost."""
    names = list(dict.fromkeys(name for row in record.tested for name in row.test))
    metrics = [metric_name(name) for name in names]
    headers = ["round", *(metric.label for metric in metrics), "replies", "moved", "time"]
    rows = [
        [
            str(row.round),
            *(
                metric.text(row.test[m]) if (m := metric.name) in row.test else "–"
                for metric in metrics
            ),
            f"{row.replies} / {row.cohort}" if row.cohort else "–",
            bytes_text(row.bytes_down + row.bytes_up) if row.cohort else "–",
            seconds_text(row.seconds["total"]) if "total" in row.seconds else "–",
        ]
        for row in record.rounds
    ]
    return Table(headers, rows, f"Every round ({len(rows)})", words=0, folded=True)


def confusions_table(found: Confusion) -> Table:
    """Return the most frequent mistakes, by true and predicted class."""
    labels, counts = found.labels, np.asarray(found.matrix)
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    pairs = [divmod(int(place), len(counts)) for place in order]
    rows = [
        [
            one_line(labels[true], 80),
            one_line(labels[taken], 80),
            f"{mistakes[true, taken]:,}",
            f"{share:.1f} %",
        ]
        for true, taken in pairs
        if mistakes[true, taken]
        for share in [100 * mistakes[true, taken] / counts[true].sum()]
    ]
    headers = ["true class", "taken for", "times", "of the class"]
    return Table(headers, rows, "Most frequent confusions", words=2)


def failure_tables(record: RunRecord) -> list[Table]:
    """Return the most frequent reasons why clients failed, and the last failures one by one."""
    reasons = Counter(one_line(failure.reason, 400) for failure in record.failures)
    newest = record.failures[-FAILURES_SHOWN:]
    return [
        Table(
            ["reason", "times"],
            [[r, f"{n:,}"] for r, n in reasons.most_common(REASONS_SHOWN)],
            "Reasons",
        ),
        Table(
            ["reason", "phase", "round", "client"],
            [
                [
                    one_line(row.reason, 400),
                    one_line(row.phase, 40),
                    str(row.round),
                    str(row.client),
                ]
                for row in newest
            ],
            f"The last {len(newest)} failures",
            words=2,
            folded=True,
        ),
    ]
