"""The table of what transfer gains: policies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fedlab.metrics.quantities import bytes_text, seconds_text
from fedlab.results.comparison import Comparison
from fedlab.results.settings_comparison import near, reached
from fedlab.results.text_tables import TextTable


@dataclass(frozen=True)
class TransferGain:
    """Runs of one scenario under several policies.

    Attributes:
        comparison: The runs, which their policies name.
        what: What each policy trains, in the same order.
        wanted: The target that the user names, or None.
    """

    comparison: Comparison
    what: Sequence[str]
    wanted: float | None = None

    @cached_property
    def target(self) -> float:
        """Return the value that rounds are counted to: the user's, or near the best final one."""
        if self.wanted is not None:
            return self.wanted
        metric = self.comparison.metric
        finals = [record.tested[-1].value(metric.name) for record in self.comparison.records]
        return near(metric, finals)

    def headers(self) -> list[str]:
        """Return the headers of the table; all columns after the first two are numeric."""
        metric = self.comparison.metric
        return [
            *("policy", "trained", f"test {metric.label}"),
            *(f"rounds to {metric.text(self.target)}", "moved", "time"),
        ]

    def rows(self) -> list[list[str]]:
        """Return a row of texts for each policy."""
        metric, rows = self.comparison.metric, []
        for record, what in zip(self.comparison.records, self.what, strict=True):
            first = reached(record, metric, self.target)
            rounds = str(first.round) if first is not None else "–"
            final = metric.text(record.tested[-1].value(metric.name))
            costs = [rounds, bytes_text(record.bytes_moved), seconds_text(record.seconds)]
            rows.append([record.name, what, final, *costs])
        return rows

    def markdown(self) -> str:
        """Return the table as Markdown."""
        return TextTable("", self.headers(), self.rows(), texts=2).markdown().lstrip()
