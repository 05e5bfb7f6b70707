"""A run's figures as plain numbers by name and round, as trackers and tables take them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from fedlab.results.reading import RunRecord
from fedlab.results.rows import RoundRow

Scalar = tuple[str, float, int]
"""Name, value, round."""
FEDERATED = "federated"


def scalars_by_run(record: RunRecord) -> dict[str, list[Scalar]]:
    """Return the scalars of the federated run and of each baseline, by name."""
    runs = {FEDERATED: [scalar for row in record.rounds for scalar in scalars_of(row)]}
    for line in record.baselines:
        if line.round is not None:
            scalars = [(f"test/{name}", value, line.round) for name, value in line.test.items()]
            runs.setdefault(line.baseline, []).extend(scalars)
    return {**runs, **_alone(record)}


def _alone(record: RunRecord) -> dict[str, list[Scalar]]:
    """Return the means over clients that train alone, of which each has a line and no rounds."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in record.baselines:
        for name, value in line.test.items() if line.round is None else ():
            found.setdefault(line.baseline, {}).setdefault(name, []).append(value)
    last = record.rounds[-1].round if record.rounds else 0
    return {
        baseline: [(f"test/{name}", fmean(values), last) for name, values in by_name.items()]
        for baseline, by_name in found.items()
    }


def scalars_of(row: RoundRow) -> Iterator[Scalar]:
    """Yield the scalars of a round."""
    for name, value in row.test.items():
        yield f"test/{name}", value, row.round
    for phase, spreads in (("train", row.train), ("clients", row.clients)):
        for name, spread in spreads.items():
            for part, value in spread.model_dump().items():
                yield f"{phase}/{name}/{part}", value, row.round
    for name, seconds in row.seconds.items():
        yield f"seconds/{name}", seconds, row.round
    if row.cohort:
        names = ["replies", "failures", "bytes_down", "bytes_up"]
        for name in [*names, "bytes_saved"] if row.bytes_saved else names:
            yield f"round/{name}", getattr(row, name), row.round
