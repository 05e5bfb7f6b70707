"""The round, client and step at which a run leaves its course."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import fedlab
from fedlab.algorithm.client import ClientAlgorithm
from fedlab.errors import FedlabError
from fedlab.metrics.names import metric_name
from fedlab.results.rows import RoundRow
from fedlab.run.bisect import bisect, first_departure, first_odd_step
from fedlab.run.folder import RunFolder
from tests.shared import SMALL


class Leaps(ClientAlgorithm):
    """Client 1 takes steps a hundred times as long in round 3."""

    def rate_factor(self, task: Any) -> float:
        return 400.0 if (task.client, task.round) == (1, 3) else 1.0


class Breaks(ClientAlgorithm):
    """Client 2 sends what is not finite in round 2."""

    def update(self, task: Any, fitted: Any) -> Any:
        update = super().update(task, fitted)
        if (task.client, task.round) == (2, 2):
            update.weights = update.weights * math.nan
        return update


def made(path: Path, client: type[ClientAlgorithm] | str) -> RunFolder:
    fedlab.run(
        SMALL, rounds=4, client=client, engine={"vectorised": False}, path=path, progress=False
    )
    return RunFolder.open(path)


def test_a_client_whose_steps_are_too_long_is_found_with_the_step(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", Leaps)
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    found = bisect(folder, factor=1.15)
    assert found is not None
    assert (found.round, found.client) == (3, 1)
    assert found.norm > 10 * found.usual
    # The first step begins with the weights that all have; what it leads to shows in the second.
    assert found.step == 2
    assert len(found.losses) > 2
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_a_client_that_sends_no_numbers_is_found(tmp_path: Path) -> None:
    found = bisect(made(tmp_path / "run", Breaks))
    assert found is not None
    assert (found.round, found.client) == (2, 2)
    assert math.isnan(found.norm)
    assert found.step is None


def test_a_run_on_its_course_has_no_such_round(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", "supervised")
    assert bisect(folder) is None
    with pytest.raises(FedlabError, match="--metric: no round has a test perplexity; there are "):
        bisect(folder, "perplexity")


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("loss", [2.0, 1.0, 1.9, 0.5, 1.1], 4),
        ("loss", [2.0, 1.0, math.nan], 2),
        ("loss", [9.0, 1.0, 0.9], None),
        ("accuracy", [0.1, 0.9, 0.85, 0.7], 3),
    ],
)
def test_a_course_is_left_where_a_metric_is_many_times_worse(
    name: str, values: list[float], expected: int | None
) -> None:
    rows = [RoundRow(round=n, test={name: value}) for n, value in enumerate(values)]
    found = first_departure(rows, metric_name(name), 2.0)
    assert (found and found[0]) == expected


def test_the_first_odd_step_is_the_one_after_the_leap() -> None:
    assert first_odd_step([1.0, 0.8, 1.7, 9.0], 2.0) == 3
    assert first_odd_step([1.0, math.inf], 2.0) == 2
    assert first_odd_step([1.0, 1.9, 0.5], 2.0) is None
