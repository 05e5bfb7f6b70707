"""Reading run folders: of runs that have finished, were killed, or are still in progress."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, headline
from fedlab.results.parsing import Anything, M, read_lines, read_object, read_toml
from fedlab.results.rows import (
    BaselineRow,
    ChangesFile,
    ClientRow,
    Confusion,
    CrossSite,
    DataFile,
    FailureRow,
    ForkFile,
    Notes,
    PartitionFile,
    RoundRow,
    ScenarioOutline,
    Status,
    Summary,
    TaskOutline,
    came_to_its_end,
)

_WITHOUT = "everything else of the run can be read"


class LineReader(Protocol):
    """What reads the lines of a JSON Lines file: `read_lines`, or what remembers earlier ones."""

    def __call__(self, path: Path, kind: type[M], without: str = "", /) -> Iterable[M]:
        """Return the lines of a file."""
        ...


@dataclass(frozen=True)
class RunRecord:
    """A run, read from its folder.

    Attributes:
        path: The folder.
        scenario_text: The resolved scenario as TOML.
        scenario: What it says, as far as readers need it.
        environment: Content of ``environment.json``; empty if missing.
        task: What ``task.json`` says; without values if missing.
        data: What the data held; without values if missing.
        notes: What was said before the first round.
        changes: What was changed of the scenario while the run went on, a sentence each.
        partition: Who holds what, or None.
        rounds: Lines of ``metrics.jsonl`` by ascending round, one per round.
        failures: Lines of ``failures.jsonl``.
        baselines: Lines of ``baselines.jsonl``.
        confusion: The confusion matrix, or None.
        summary: The summary, or None if the run did not finish.
        alias: What is shown in place of the folder's name.
        fork: Which run it goes on from, or None.
        cross_site: What every client's model reaches on every client's part, or None.
    """

    path: Path
    scenario_text: str
    scenario: ScenarioOutline = field(default_factory=ScenarioOutline)
    environment: dict[str, JsonValue] = field(default_factory=dict)
    task: TaskOutline = field(default_factory=TaskOutline)
    data: DataFile = field(default_factory=DataFile)
    notes: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    partition: PartitionFile | None = None
    rounds: list[RoundRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    baselines: list[BaselineRow] = field(default_factory=list)
    confusion: Confusion | None = None
    summary: Summary | None = None
    alias: str = ""
    fork: ForkFile | None = None
    cross_site: CrossSite | None = None

    @classmethod
    def load(cls, path: Path, lines: LineReader = read_lines) -> RunRecord:
        """Read the run folder at ``path``.

        An incomplete last line is ignored: the run was killed while writing it. The clients' lines
        stay on disk (see :meth:`client_values`), since there may be millions.

        Args:
            path: The folder.
            lines: What reads the files that grow with the run.

        Raises:
            FedlabError: If this is not a run folder, or a file in it is damaged.
        """
        text, scenario = read_toml(files.scenario_of(path), ScenarioOutline)
        environment = read_object(path / files.ENVIRONMENT, Anything, _WITHOUT)
        notes = read_object(path / files.NOTES, Notes, _WITHOUT)
        return cls(
            path=path,
            scenario_text=text,
            scenario=scenario,
            environment=environment.root if environment else {},
            task=read_object(path / files.TASK, TaskOutline) or TaskOutline(),
            data=read_object(path / files.DATA, DataFile, _WITHOUT) or DataFile(),
            notes=notes.notes if notes else [],
            changes=_changes(path / files.CHANGES),
            partition=read_object(path / files.PARTITION, PartitionFile, _WITHOUT),
            rounds=_last_of_each_round(lines(path / files.METRICS, RoundRow)),
            failures=list(lines(path / files.FAILURES, FailureRow, _WITHOUT)),
            baselines=list(lines(path / files.BASELINES, BaselineRow, _WITHOUT)),
            confusion=read_object(path / files.CONFUSION, Confusion, _WITHOUT),
            summary=read_object(path / files.SUMMARY, Summary, _WITHOUT),
            fork=read_object(path / files.FORK, ForkFile, _WITHOUT),
            cross_site=read_object(path / files.CROSS_SITE, CrossSite, _WITHOUT),
        )

    @property
    def name(self) -> str:
        """Return the folder's name, or what is shown in its place."""
        return self.alias or self.path.resolve().name

    @property
    def title(self) -> str:
        """Return the scenario's title, or the folder's name if it has none."""
        return self.scenario.title or self.name

    @property
    def status(self) -> Status:
        """Return the status in the summary; "unfinished" without a summary."""
        return self.summary.status if self.summary else "unfinished"

    @property
    def came_to_its_end(self) -> bool:
        """Return whether all rounds were run, or as many as early stopping asked for."""
        return self.summary is not None and came_to_its_end(self.status, self.summary.reason)

    @cached_property
    def tested(self) -> list[RoundRow]:
        """Return the rounds that were evaluated on the server's test set."""
        return [row for row in self.rounds if row.test]

    @cached_property
    def metric(self) -> MetricName | None:
        """Return the headline metric, or None if nothing was evaluated."""
        names = [name for row in self.tested for name in row.test]
        return headline(names)

    @cached_property
    def best(self) -> RoundRow | None:
        """Return the earliest round with the best headline metric."""
        if self.metric is None:
            return None
        found = self.tested[0]
        for row in self.tested[1:]:
            if self.metric.better(row.value(self.metric.name), found.value(self.metric.name)):
                found = row
        return found

    @cached_property
    def parent(self) -> RunRecord | None:
        """Return the run that this one goes on from; None where it began anew, or that is gone."""
        if self.fork is None:
            return None
        path = Path(self.fork.of)
        if not path.is_dir():
            # Both may have been moved together.
            path = self.path.resolve().parent / path.name
        try:
            return RunRecord.load(path)
        except FedlabError:
            return None

    @property
    def bytes_moved(self) -> int:
        """Return the bytes transferred in all rounds, down and up."""
        return sum(row.bytes_down + row.bytes_up for row in self.rounds)

    @property
    def seconds(self) -> float:
        """Return the seconds that all rounds took."""
        return sum(row.seconds.get("total", 0.0) for row in self.rounds)

    @property
    def clients(self) -> int:
        """Return the number of clients, or 0 if the run ended before recording it."""
        return self.partition.clients if self.partition else 0

    def client_values(self, phase: str, metric: str) -> tuple[int, dict[int, float]] | None:
        """Return the last round in which clients reported ``metric``, and its value by client.

        Args:
            phase: "train" or "evaluate".
            metric: The metric's name in ``clients.jsonl``.

        Raises:
            FedlabError: If a line of the file is damaged.
        """
        newest, values = -1, dict[int, float]()
        for line in read_lines(self.path / files.CLIENTS, ClientRow, _WITHOUT):
            value = line.value(metric) if line.phase == phase and line.examples else None
            if value is None:
                continue
            if line.round != newest:
                newest, values = line.round, {}
            values[line.client] = value
        return (newest, values) if values else None


def _last_of_each_round(rows: Iterable[RoundRow]) -> list[RoundRow]:
    """Return one row per round: a run that was killed and resumed may have written one twice."""
    by_round = {row.round: row for row in rows}
    return [by_round[number] for number in sorted(by_round)]


def _changes(path: Path) -> list[str]:
    """Return what was changed of the scenario while the run went on, a sentence each."""
    found = read_object(path, ChangesFile, _WITHOUT)
    return [
        f"{key}: {value_text(change.after)} from round {entry.round + 1} on, "
        f"{value_text(change.before)} before"
        for entry in (found.changes if found is not None else [])
        for key, change in entry.changed.items()
    ]


def value_text(value: JsonValue) -> str:
    """Return a key's value as text."""
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
