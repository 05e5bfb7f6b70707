"""One run of a table: read if finished, resumed if interrupted."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.published.table import Cell, Figure, Table
from fedlab import __version__
from fedlab.errors import FedlabError
from fedlab.metrics.names import metric_name
from fedlab.results.reading import RunRecord
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import Callback, RoundOutcome
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds, TooFewReplies
from fedlab.scenario import Scenario

NOT_THE_EXPERIMENT = {"title", "description", "group", "engine"}
MADE_BY = "published.json"
SECONDS_BETWEEN_LINES = 60
Result = dict[str, Any]


class Interrupted(Exception):
    """Ctrl-C ended the run, which can be resumed."""


class Progress(Callback):
    """Prints one line per minute."""

    def __init__(self) -> None:
        self._printed = time.monotonic()

    def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
        """Print the round, at most once per minute."""
        if time.monotonic() - self._printed > SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"  round {outcome.round} of {rounds.scenario.rounds}", flush=True)

    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Ignore a baseline's line, which is read from the run folder."""


def result_of(table: Table, cell: Cell, folder: Path, root: Path) -> Result:
    """Return the result of a cell's run, after running or resuming it if it is not finished.

    Args:
        table: The table.
        cell: The run.
        folder: The table's run folders.
        root: The repository, whose commit is recorded.

    Raises:
        Interrupted: If Ctrl-C ended it.
        FedlabError: If the scenario cannot be run at all.
    """
    scenario = cell.scenario(table)
    found = find_run(folder / cell.name, scenario)
    if found is None or RunRecord.load(found.path).summary is None or _was_interrupted(found):
        found = found or _create(folder / cell.name, scenario, root)
        _execute(found)
    return read(table, cell, found.path)


def find_run(folder: Path, scenario: Scenario) -> RunFolder | None:
    """Return the newest run of this very scenario in a folder, or None.

    The engine and the number of workers are ignored. A run of another version of fedlab is used if
    its scenario, with the current defaults, is the same.
    """
    for path in sorted(folder.glob("*/scenario.toml"), reverse=True):
        try:
            found = RunFolder.open(path.parent)
        except FedlabError:  # A key of its scenario is no longer known.
            continue
        if _experiment(found.scenario) == _experiment(scenario):
            return found
    return None


def _experiment(scenario: Scenario) -> str:
    return scenario.model_dump_json(exclude=NOT_THE_EXPERIMENT)


def _was_interrupted(found: RunFolder) -> bool:
    summary = RunRecord.load(found.path).summary
    return summary is not None and summary.reason == "interrupted"


def _create(folder: Path, scenario: Scenario, root: Path) -> RunFolder:
    found = RunFolder.create(folder, "run", scenario)
    found.write_json(MADE_BY, {"commit": _present_commit(root)})
    return found


def _present_commit(root: Path) -> str:
    """Return the current commit, with "-dirty" if anything but results is changed."""

    def said(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    changed = said("status", "--porcelain", "--untracked-files=no", "--", ":!docs/results")
    return said("describe", "--always") + ("-dirty" if changed else "")


def _execute(found: RunFolder) -> None:
    progress = Progress()
    try:
        rounds = run(found, [progress])
    except TooFewReplies:  # The summary records the failure, and so does the table.
        return
    if rounds.reason == "interrupted":
        raise Interrupted
    if rounds.status == "finished":
        run_baselines(found, [progress])


def read(table: Table, cell: Cell, path: Path) -> Result:
    """Return the result of a table's cell from its run folder, as JSON."""
    record = RunRecord.load(path)
    figure, site = table.figure_of(cell.row), cell.column.site
    drawn = figure.model_copy(update={"metric": table.curves})
    curve = series(record, drawn) if table.curves else []
    return {
        "group": cell.row.group,
        "row": cell.row.name,
        "column": cell.column.name,
        "seed": cell.seed,
        **({"value": cell.value} if cell.value is not None else {}),
        "set": list(cell.overrides),
        "figure": figure_of(record, figure, site),
        **({"also": figure_of(record, table.also, site)} if table.also else {}),
        "status": record.status,
        "reason": record.summary.reason if record.summary else "",
        "rounds": record.rounds[-1].round if record.rounds else 0,
        "seconds": round(record.seconds, 1),
        "commit": _commit(path),
        "fedlab": record.environment.get("fedlab", __version__),
        **({"curve": [[number, float(f"{v:.5g}")] for number, v in curve]} if curve else {}),
    }


def series(record: RunRecord, figure: Figure, site: str = "") -> list[tuple[int, float]]:
    """Return the figure's metric over the rounds in which it was measured.

    Args:
        record: The run.
        figure: The figure.
        site: The site whose test examples it is of, for "test", and for "local", where it is that
            of the site's own client; nothing: all test examples.
    """
    if site:
        return _of_site(record, figure, site)
    if figure.of in ("clients", "train"):
        spreads = [(row.round, getattr(row, figure.of).get(figure.metric)) for row in record.rounds]
        return [(number, getattr(s, figure.statistic)) for number, s in spreads if s is not None]
    if figure.of == "test":
        return [(row.round, row.value(figure.metric)) for row in record.tested]
    if figure.of == "alone":
        return [(0, row.own[figure.metric]) for row in record.baselines if row.own]
    lines = [row for row in record.baselines if row.baseline == figure.of]
    return [(row.round or 0, row.test[figure.metric]) for row in lines]


def _of_site(record: RunRecord, figure: Figure, site: str) -> list[tuple[int, float]]:
    metric = figure.metric
    if figure.of == "test":
        return [(row.round, row.sites[site][metric]) for row in record.tested if site in row.sites]
    names = record.partition.names if record.partition else []
    own = [
        row
        for row in record.baselines
        if row.baseline == figure.of and row.client is not None and names[row.client] == site
    ]
    return [(0, row.sites[site][metric]) for row in own if site in row.sites]


def figure_of(record: RunRecord, figure: Figure, site: str = "") -> float | None:
    """Return the figure, or None.

    It is None if the target was not reached, if nothing was measured, or if the run failed, unless
    the figure is the best value.
    """
    if record.status == "failed" and figure.take != "best":
        return None
    points = series(record, figure, site)
    values = [value for _, value in points]
    if not values:
        return None
    better = metric_name(figure.metric).higher_is_better
    if figure.target is not None:
        target = figure.target
        hits = (n for n, v in points if (v >= target if better else v <= target))
        return next(hits, None)
    if figure.of in ("local", "alone") or figure.take == "mean":
        return _mean(values if figure.of in ("local", "alone") else values[-figure.count :])
    return values[-1] if figure.take == "last" else (max(values) if better else min(values))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _commit(path: Path) -> str:
    file = path / MADE_BY
    return str(json.loads(file.read_text())["commit"]) if file.is_file() else "not noted"
