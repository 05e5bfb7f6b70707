"""A run compared with its baselines: does federated training pay off?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedlab.metrics.names import MetricName
from fedlab.results.reading import RunRecord

LOCAL_CLIENTS = 20
"""How many clients train alone, at most."""
LABELS = {
    "source-only": "source only",
    "random": "random weights",
    "target-supervised": "target with labels",
    "centralised": "pooled data",
}
"""What reports call the baselines that have a line for each round."""


@dataclass(frozen=True)
class Curve:
    """A baseline's test metric over rounds."""

    rounds: list[int]
    values: list[float]


@dataclass(frozen=True)
class LocalSpread:
    """Test metrics of clients that train alone: mean, 10th and 90th percentile, and each value."""

    mean: float
    low: float
    high: float
    values: list[float]


def baseline_curve(record: RunRecord, name: str, metric: MetricName) -> Curve | None:
    """Return a baseline with one line per round ("centralised", "random"), or None.

    One that was cut off is none: it has not had the run's budget (see `missing_parts`).
    """
    if _rounds_held(record, name) is not None:
        return None
    rows = [
        (row.round, row.test[metric.name])
        for row in record.baselines
        if row.baseline == name and row.round is not None and metric.name in row.test
    ]
    return Curve([number for number, _ in rows], [value for _, value in rows]) if rows else None


def local_spread(record: RunRecord, metric: MetricName) -> LocalSpread | None:
    """Return the baseline of clients that train alone, or None."""
    values = [
        row.test[metric.name]
        for row in record.baselines
        if row.baseline == "local" and math.isfinite(row.test.get(metric.name, math.nan))
    ]
    if not values:
        return None
    low, high = np.quantile(values, (0.1, 0.9))
    return LocalSpread(float(np.mean(values)), float(low), float(high), values)


def missing_parts(record: RunRecord) -> list[str]:
    """Return a sentence for each baseline of which ``baselines.jsonl`` holds a part only."""
    found = [
        f"Of the baseline “{name}” baselines.jsonl holds {held} of {record.scenario.rounds} "
        "rounds, so that it is left out; fedlab resume completes it."
        for name in dict.fromkeys(row.baseline for row in record.baselines)
        if (held := _rounds_held(record, name)) is not None
    ]
    alone = {row.client for row in record.baselines if row.baseline == "local"}
    asked = min(record.clients, LOCAL_CLIENTS)
    if alone and len(alone) < asked:
        found.append(
            f"Of the baseline “local” baselines.jsonl holds {len(alone)} of {asked} clients."
        )
    return found


def _rounds_held(record: RunRecord, name: str) -> int | None:
    """Return how many rounds of a baseline there are, or None where it has all or no rounds."""
    rounds = [row.round for row in record.baselines if row.baseline == name]
    numbers = [number for number in rounds if number is not None]
    wanted = record.scenario.rounds
    if not numbers or wanted is None or max(numbers) >= wanted:
        return None
    return max(numbers)


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, with the numbers that support it.

    Attributes:
        answer: "yes", "no", or "open" if the baseline was not run.
        sentence: The answer in words.
    """

    answer: str
    sentence: str


def is_federating_worth_it(record: RunRecord) -> Verdict:
    """Compare the last evaluated round with clients that train alone and with pooled data."""
    metric = record.metric
    if metric is None:
        return Verdict("open", "Nothing has been evaluated yet.")
    reached = record.tested[-1].value(metric.name)
    start = f"federated training reaches {metric.text(reached)} test {metric.label}"
    local = local_spread(record, metric)
    source = baseline_curve(record, "source-only", metric)
    if source is not None:
        better = metric.better(reached, source.values[-1])
        return Verdict(
            "yes" if better else "no",
            f"{'Yes' if better else 'No'}: {start} on clients without labels."
            f"{_against_curves(record, metric, reached)}{_missing(record)}",
        )
    if local is None:
        return Verdict(
            "open",
            f"{_capital(start)}; add “local” to evaluation.baselines to see what clients reach "
            f"alone.{_against_curves(record, metric, reached)}{_missing(record)}",
        )
    worth = metric.better(reached, local.mean)
    beaten = sum(metric.better(reached, value) for value in local.values)
    share = f"all {beaten}" if beaten == len(local.values) else f"{beaten} of {len(local.values)}"
    sentence = (
        f"{'Yes' if worth else 'No'}: {start}, {_gap(metric, reached, local.mean)} than clients "
        f"that train alone ({metric.text(local.mean)} on average); it beats {share} "
        f"of them.{_against_curves(record, metric, reached)}{_missing(record)}"
    )
    return Verdict("yes" if worth else "no", sentence)


def _against_curves(record: RunRecord, metric: MetricName, reached: float) -> str:
    """Return a sentence on pooled data and on random weights, if these baselines were run."""
    starts = {
        "centralised": "training on the pooled data",
        "random": "starting from random weights",
        "source-only": "training without the clients that have no labels",
        "target-supervised": "training these with their labels",
    }
    parts = []
    for name, start in starts.items():
        curve = baseline_curve(record, name, metric)
        if curve is not None:
            last = curve.values[-1]
            parts.append(f"{start} reaches {metric.text(last)}, {_gap(metric, last, reached)}")
    return f" {_capital('; '.join(parts))}." if parts else ""


def _missing(record: RunRecord) -> str:
    return "".join(f" {sentence}" for sentence in missing_parts(record))


def _gap(metric: MetricName, first: float, second: float) -> str:
    """Return how much better or worse ``first`` is than ``second``, in words."""
    if not math.isfinite(first - second):
        return "beyond comparison"
    if first == second:
        return "neither better nor worse"
    word = "better" if metric.better(first, second) else "worse"
    return f"{metric.difference(first - second)} {word}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
