"""A run's figures by round, as columns: what the curves are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from fedlab.metrics.names import metric_name, steps_text
from fedlab.results.baselines import LABELS, baseline_curve
from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow

TEST, CLIENTS, TRAIN, VALIDATION, UNSEEN = "test", "clients", "train", "validation", "unseen"
MEAN, WORST = "mean", "worst_decile"
_NEW = ("random", "source-only", "target-supervised", "other")
_SPREADS = {CLIENTS: "clients", TRAIN: "clients in training"}


def columns(record: RunRecord, begin: int = 0) -> dict[str, Any]:
    """Return a run's figures from the ``begin``-th of its rounds on.

    Returns:
        ``rounds``: their numbers; ``begin``; ``columns``: by key, the figures of these rounds, null
        where there is none. Keys are ``test.accuracy``, ``clients.accuracy.mean``, ``bytes_up``,
        ``seconds.train`` and so on.
    """
    rows = record.rounds[begin:]
    found: dict[str, list[float | None]] = {}
    for place, row in enumerate(rows):
        for key, value in _figures(row):
            if key not in found:
                found[key] = [None] * len(rows)
            found[key][place] = value
    return {"begin": begin, "rounds": [row.round for row in rows], "columns": found}


def charts(record: RunRecord) -> list[dict[str, Any]]:
    """Return the metrics that a run has, most telling first, each with its curves.

    Returns:
        For each metric its name, label and kind, and ``curves``: the key of each one's column, its
        name in words, the role that gives it its colour, and whether it is drawn dashed. A baseline
        has its ``rounds`` and ``values`` in place of a column.
    """
    sources = _sources(record.rounds)
    names = dict.fromkeys(name for metrics in sources.values() for name in metrics)
    headline = record.metric.name if record.metric else None
    first = [name for name in (headline, "loss") if name in names]
    return [_chart(record, name, sources) for name in dict.fromkeys([*first, *names])]


def _figures(row: RoundRow) -> Iterator[tuple[str, float]]:
    for name, value in row.test.items():
        yield f"{TEST}.{name}", value
    for name, value in row.validation.items():
        yield f"{VALIDATION}.{name}", value
    for phase in _SPREADS:
        for name, spread in getattr(row, phase).items():
            yield f"{phase}.{name}.{MEAN}", spread.mean
            yield f"{phase}.{name}.{WORST}", spread.worst_decile
    for steps, metrics in row.unseen.items():
        for name, spread in metrics.items():
            yield f"{UNSEEN}.{steps}.{name}.{MEAN}", spread.mean
    yield "bytes_down", row.bytes_down
    yield "bytes_up", row.bytes_up
    yield "replies", row.replies
    yield "failures", row.failures
    for phase, value in row.seconds.items():
        yield f"seconds.{phase}", value


def _sources(rows: Sequence[RoundRow]) -> dict[str, dict[str, None]]:
    """Return the names of the metrics that rounds have, by where they were measured."""
    found: dict[str, dict[str, Any]] = {source: {} for source in (TEST, VALIDATION, CLIENTS, TRAIN)}
    for row in rows:
        found[TEST].update(row.test)
        found[VALIDATION].update(row.validation)
        found[CLIENTS].update(row.clients)
        found[TRAIN].update(row.train)
        for steps, metrics in row.unseen.items():
            found.setdefault(f"{UNSEEN}.{steps}", {}).update(metrics)
    return {source: dict.fromkeys(names) for source, names in found.items()}


def _chart(
    record: RunRecord, name: str, sources: Mapping[str, Mapping[str, None]]
) -> dict[str, Any]:
    metric = metric_name(name)
    curves: list[dict[str, Any]] = []

    def add(key: str, label: str, role: str, dashed: bool = False) -> None:
        curves.append({"key": key, "label": label, "role": role, "dashed": dashed})

    new = cycle(_NEW)
    for source, names in sources.items():
        if name not in names:
            continue
        if source == TEST:
            add(f"{TEST}.{name}", "test set", "federated")
        elif source == VALIDATION:
            add(f"{VALIDATION}.{name}", "validation parts", "centralised")
        elif source in _SPREADS:
            who, dashed = _SPREADS[source], source == TRAIN
            add(f"{source}.{name}.{MEAN}", f"{who}, mean", "local", dashed)
            add(f"{source}.{name}.{WORST}", f"{who}, worst tenth", "worst", dashed)
        else:
            steps = source.removeprefix(f"{UNSEEN}.")
            add(f"{source}.{name}.{MEAN}", f"new clients, {steps_text(steps)}", next(new), True)
    for baseline, label in LABELS.items():
        curve = baseline_curve(record, baseline, metric)
        if curve is not None:
            add(f"baseline.{baseline}.{name}", label, baseline, dashed=True)
            curves[-1] |= {"rounds": curve.rounds, "values": curve.values}
    return {"name": name, "label": metric.label, "fraction": metric.is_fraction, "curves": curves}
