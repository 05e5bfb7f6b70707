"""Reading run folders: of runs that have finished, were killed, or are still in progress."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.metrics.names import MetricName, headline
from fedlab.results.rows import BaselineRow, Confusion, FailureRow, RoundRow, Row, Status, Summary

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class RunRecord:
    """A run, read from its folder.

    Attributes:
        path: The folder.
        scenario_text: The resolved scenario as TOML.
        scenario: The same, read.
        environment, task: Content of the JSON files of these names; empty if missing.
        notes: What was said before the first round.
        partition: Content of ``partition.json``, or None.
        rounds: Lines of ``metrics.jsonl`` by ascending round, one per round.
        failures: Lines of ``failures.jsonl``.
        baselines: Lines of ``baselines.jsonl``.
        confusion: The confusion matrix, or None.
        summary: The summary, or None if the run did not finish.
    """

    path: Path
    scenario_text: str
    scenario: dict[str, Any]
    environment: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    partition: dict[str, Any] | None = None
    rounds: list[RoundRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    baselines: list[BaselineRow] = field(default_factory=list)
    confusion: Confusion | None = None
    summary: Summary | None = None

    @classmethod
    def load(cls, path: Path) -> RunRecord:
        """Read the run folder at ``path``.

        An incomplete last line is ignored: the run was killed while writing it. The clients' lines
        stay on disk (see :meth:`client_values`), since there may be millions.

        Raises:
            FedlabError: If this is not a run folder, or a file in it is damaged.
        """
        if not path.exists():
            raise FedlabError(f"there is no run folder {path}")
        scenario_file = path / files.SCENARIO
        if not scenario_file.is_file():
            raise FedlabError(f"{path} is not a run folder: it has no {files.SCENARIO}")
        text = _text(scenario_file)
        return cls(
            path=path,
            scenario_text=text,
            scenario=_toml(text, scenario_file),
            environment=_json_object(path / files.ENVIRONMENT) or {},
            task=_json_object(path / files.TASK) or {},
            notes=[str(note) for note in (_json_object(path / files.NOTES) or {}).get("notes", [])],
            partition=_json_object(path / files.PARTITION),
            rounds=_last_of_each_round(_rows(path / files.METRICS, RoundRow)),
            failures=list(_rows(path / files.FAILURES, FailureRow)),
            baselines=list(_rows(path / files.BASELINES, BaselineRow)),
            confusion=_row(path / files.CONFUSION, Confusion),
            summary=_row(path / files.SUMMARY, Summary),
        )

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return self.path.resolve().name

    @property
    def title(self) -> str:
        """Return the scenario's title, or the folder's name if it has none."""
        return self.scenario.get("title") or self.name

    @property
    def status(self) -> Status:
        """Return the status in the summary; "unfinished" without a summary."""
        return self.summary.status if self.summary else "unfinished"

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
        return int((self.partition or {}).get("clients", 0))

    def setting(self, *keys: str, default: Any = "") -> Any:
        """Return a scenario's value by its path of keys."""
        value: Any = self.scenario
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                return default
            value = value[key]
        return value

    def client_values(self, phase: str, metric: str) -> tuple[int, dict[int, float]] | None:
        """Return the last round in which clients reported ``metric``, and its value by client.

        Args:
            phase: "train" or "evaluate".
            metric: The metric's name in ``clients.jsonl``.
        """
        newest, values = -1, dict[int, float]()
        for line in _lines(self.path / files.CLIENTS):
            if line.get("phase") != phase or line.get(metric) is None or not line.get("examples"):
                continue
            if line["round"] != newest:
                newest, values = line["round"], {}
            values[line["client"]] = float(line[metric])
        return (newest, values) if values else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a JSON Lines file, except an incomplete last one."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except json.JSONDecodeError as error:
                if not line.endswith("\n"):
                    return
                raise FedlabError(
                    f"{path}, line {number}: this is not JSON: {error.msg}"
                ) from error
            if not isinstance(content, dict):
                raise FedlabError(f"{path}, line {number}: a JSON object belongs here")
            yield content


def _rows(path: Path, kind: type[R]) -> Iterator[R]:
    for number, content in enumerate(_lines(path), start=1):
        yield _checked(content, kind, f"{path}, entry {number}")


def _row(path: Path, kind: type[R]) -> R | None:
    content = _json_object(path)
    return None if content is None else _checked(content, kind, str(path))


def _checked(content: dict[str, Any], kind: type[R], where: str) -> R:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise FedlabError(f"{where}, key '{key}': {first['msg'].lower()}") from error


def _last_of_each_round(rows: Iterator[RoundRow]) -> list[RoundRow]:
    """Return one row per round: a run that was killed and resumed may have written one twice."""
    by_round = {row.round: row for row in rows}
    return [by_round[number] for number in sorted(by_round)]


def _json_object(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise FedlabError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}") from error
    if not isinstance(content, dict):
        raise FedlabError(f"{path}: a JSON object belongs here")
    return content


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FedlabError(f"{path}: this is not TOML: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FedlabError(f"{path} cannot be read: {error}") from error
