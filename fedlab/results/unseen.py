"""What a run's model reaches on clients that never trained, after steps on their own examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedlab.metrics.names import MetricName, headline, metric_name, steps_text
from fedlab.results.own_parts import part_name
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow, Spread


@dataclass(frozen=True)
class UnseenFigures:
    """The figures of a run's last round that has some.

    Attributes:
        part: The examples: "test parts" or "validation parts".
        metric: The metric that the run is judged by.
        round: The round.
        reached: By the number of steps, how each metric is spread over the clients.
    """

    part: str
    metric: MetricName
    round: int
    reached: Mapping[str, Mapping[str, Spread]]

    @property
    def sentence(self) -> str:
        """Return the means in one line."""
        means = [
            f"{self.metric.text(found[self.metric.name].mean)} after {steps_text(steps)}"
            for steps, found in self.reached.items()
            if self.metric.name in found
        ]
        return f"Mean {self.metric.label} on new clients' {self.part}: {', '.join(means)}"

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headers and rows, a number of steps each."""
        names = list(dict.fromkeys(name for found in self.reached.values() for name in found))
        metrics, judged = [metric_name(name) for name in names], self.metric
        headers = ["steps", *(metric.label for metric in metrics), f"{judged.label}, worst tenth"]
        rows = []
        for steps, found in self.reached.items():
            row = [steps, *(_text(metric, found) for metric in metrics)]
            spread = found.get(judged.name)
            row.append(judged.text(spread.worst_decile) if spread else "–")
            rows.append(row)
        return headers, rows


def unseen_rows(record: RunRecord) -> list[RoundRow]:
    """Return the rounds in which clients were evaluated that never train."""
    return [row for row in record.rounds if row.unseen]


def unseen_figures(record: RunRecord) -> UnseenFigures | None:
    """Return the figures, or None where all clients train."""
    rows = unseen_rows(record)
    if not rows:
        return None
    reached = rows[-1].unseen
    metric = headline(next(iter(reached.values())))
    if metric is None:
        return None
    return UnseenFigures(part_name(record), metric, rows[-1].round, reached)


def _text(metric: MetricName, found: Mapping[str, Spread]) -> str:
    return metric.text(found[metric.name].mean) if metric.name in found else "–"
