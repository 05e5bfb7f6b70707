"""Metrics on the clients' own parts: personalised, of the global model, and trained alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedlab.metrics.names import BEFORE, GLOBAL, MetricName, headline
from fedlab.results.reading import RunRecord


@dataclass(frozen=True)
class OwnParts:
    """Means over clients, in the last round in which clients were evaluated.

    Attributes:
        part: The examples: "test parts" or "validation parts".
        metric: The metric.
        round: The round.
        means: The mean by model: "personalised", "global model" or "before
            collaboration", "each alone".
    """

    part: str
    metric: MetricName
    round: int
    means: dict[str, float]

    @property
    def sentence(self) -> str:
        """Return a description in one line."""
        values = ", ".join(f"{who} {self.metric.text(mean)}" for who, mean in self.means.items())
        return f"Mean {self.metric.label} on clients' own {self.part}: {values}"


def part_name(record: RunRecord) -> str:
    """Return the name of the parts that federated evaluation uses."""
    return "test parts" if record.scenario.data.client_test else "validation parts"


def own_parts(record: RunRecord) -> OwnParts | None:
    """Return the metrics on the clients' own parts, or None if they were not measured."""
    row = next((row for row in reversed(record.rounds) if row.clients), None)
    metric = headline(row.clients) if row else None
    if row is None or metric is None:
        return None
    mean = row.clients[metric.name].mean
    others = {"global model": GLOBAL, "before collaboration": BEFORE}
    compared = {
        who: row.clients[prefix + metric.name].mean
        for who, prefix in others.items()
        if prefix + metric.name in row.clients
    }
    means = {"personalised": mean, **compared} if compared else {"global model": mean}
    alone = [
        line.own[metric.name]
        for line in record.baselines
        if line.baseline == "local" and math.isfinite(line.own.get(metric.name, math.nan))
    ]
    if alone:
        means["each alone"] = float(np.mean(alone))
    return OwnParts(part_name(record), metric, row.round, means)
