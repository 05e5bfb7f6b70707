"""A run in one row of the list, read from the ends of its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError, one_line
from fedlab.metrics.names import headline
from fedlab.results.parsing import Anything, read_object, read_toml
from fedlab.results.rows import RoundRow, ScenarioOutline, Summary
from fedlab.run.lock import is_written
from fedlab.ui.folders import check_without_links, shown
from fedlab.ui.lines import last_lines

RUNNING, DAMAGED = "running", "damaged"
LONGEST = 200
"""Letters of a name that are shown."""
_LOOKED_AT = (files.SCENARIO, files.ENVIRONMENT, files.SUMMARY, files.METRICS)

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Outline:
    """What the list shows of a run.

    Attributes:
        id: What the page calls it by.
        name: The folder's name.
        title: The scenario's title.
        state: "running", "finished", "stopped", "failed", "unfinished" (no process writes it, and
            it has no end) or "damaged".
        why: What there is to say of the state: a reason, the process, or what is damaged.
        round: The last round that is written; None before the first.
        rounds: How many there will be, as far as the scenario says.
        metric: What the run is judged by, in words.
        value: Its last value, as a number.
        text: The same as text.
        higher: Whether more of it is better.
        strategy: The strategy's name.
        client: The client algorithm's.
        data: The data set's.
        engine: The engine's.
        seed: The seed.
        started: When it began, in ISO 8601.
    """

    id: str
    name: str
    title: str = ""
    state: str = DAMAGED
    why: str = ""
    round: int | None = None
    rounds: int | None = None
    metric: str = ""
    value: float | None = None
    text: str = ""
    higher: bool = True
    strategy: str = ""
    client: str = ""
    data: str = ""
    engine: str = ""
    seed: int = 0
    started: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for the page."""
        return dict(vars(self))


class Outlines:
    """The outlines of runs; that of a run whose files are as they were is not made again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, str, Outline]] = {}

    def of(self, identifier: str, path: Path) -> Outline:
        """Return a run's outline; one that cannot be read has a sentence for it."""
        now, writer = stamp(path, _LOOKED_AT), is_written(path)
        known = self._known.get(path)
        if known is not None and known[:2] == (now, writer):
            return known[2]
        try:
            found = _outline(identifier, path, writer)
        except FedlabError as error:
            name = one_line(shown(path.name), LONGEST)
            found = Outline(identifier, name, why=one_line(str(error), 400))
        self._known[path] = (now, writer, found)
        return found

    def keep(self, paths: set[Path]) -> None:
        """Forget all other runs."""
        for gone in self._known.keys() - paths:
            del self._known[gone]


def stamp(path: Path, names: tuple[str, ...]) -> Stamp:
    """Return what shows whether files in a folder are as they were."""
    found = []
    for name in names:
        try:
            status = os.stat(path / name)
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append((0, -1, 0))
    return tuple(found)


def state_of(summary: Summary | None, writer: str) -> tuple[str, str]:
    """Return a run's state, and what there is to say of it."""
    busy = f"in use by {writer}" if writer else ""
    if summary is None or summary.status == "unfinished":
        return (RUNNING, busy) if writer else ("unfinished", "no process goes on with it")
    return summary.status, "; ".join(part for part in (one_line(summary.reason), busy) if part)


def _outline(identifier: str, path: Path, writer: str) -> Outline:
    check_without_links(path)
    _, scenario = read_toml(path / files.SCENARIO, ScenarioOutline)
    summary = read_object(path / files.SUMMARY, Summary)
    environment = read_object(path / files.ENVIRONMENT, Anything)
    newest = tested = None
    for row in last_lines(path / files.METRICS, RoundRow):
        newest = newest or row
        if row.test:
            tested = row
            break
    state, why = state_of(summary, writer)
    metric = headline(tested.test) if tested else None
    value = tested.test[metric.name] if tested and metric else None
    return Outline(
        id=identifier,
        name=one_line(shown(path.name), LONGEST),
        title=one_line(scenario.title, LONGEST),
        state=state,
        why=why,
        round=newest.round if newest else None,
        rounds=scenario.rounds,
        metric=metric.label if metric else "",
        value=value,
        text=metric.text(value) if metric and value is not None else "",
        higher=metric.higher_is_better if metric else True,
        strategy=one_line(scenario.strategy.name, LONGEST),
        client=one_line(scenario.client.name, LONGEST),
        data=one_line(scenario.data.name, LONGEST),
        engine=one_line(scenario.engine.name, LONGEST),
        seed=scenario.seed,
        started=started(path, environment),
    )


def started(path: Path, environment: Anything | None) -> str:
    """Return when a run began, as its folder says, else by the age of its scenario."""
    said = environment.root.get("started") if environment else None
    try:
        return datetime.fromisoformat(str(said)).isoformat()
    except ValueError:
        return datetime.fromtimestamp(os.stat(path / files.SCENARIO).st_mtime, UTC).isoformat()
