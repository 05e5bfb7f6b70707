"""The answer to "is federating worth it?" follows the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.metrics.names import metric_name
from fedlab.results.baselines import is_federating_worth_it, local_spread
from fedlab.results.reading import RunRecord
from fedlab.results.rows import BaselineRow, RoundRow


def record(
    metric: str, federated: float, local: list[float], centralised: float | None = None
) -> RunRecord:
    baselines = [
        BaselineRow(baseline="local", client=n, test={metric: value})
        for n, value in enumerate(local)
    ]
    if centralised is not None:
        test = {metric: centralised}
        baselines.append(BaselineRow(baseline="centralised", round=1, test=test))
    rounds = [RoundRow(round=1, test={metric: federated})]
    return RunRecord(Path("run"), "", rounds=rounds, baselines=baselines)


def said(run: RunRecord) -> tuple[str, str]:
    verdict = is_federating_worth_it(run)
    return verdict.answer, verdict.sentence.replace("\u00a0", " ")


def test_yes_where_the_federated_model_beats_clients_alone() -> None:
    answer, sentence = said(record("accuracy", 0.9, [0.5, 0.7, 0.95], 0.97))
    assert answer == "yes"
    assert "reaches 90.0 % test accuracy, 18.3 points better" in sentence
    assert "(71.7 % on average); it beats 2 of 3 of them." in sentence
    assert "Training on the pooled data reaches 97.0 %, 7.0 points better." in sentence


def test_no_where_clients_alone_are_better() -> None:
    answer, sentence = said(record("accuracy", 0.6, [0.7, 0.8]))
    assert answer == "no"
    assert "15.0 points worse" in sentence


def test_a_lower_error_is_better() -> None:
    answer, sentence = said(record("rmse", 2.0, [3.0, 2.5], 1.5))
    assert answer == "yes"
    assert "0.75 better than clients that train alone" in sentence
    assert "0.5 better." in sentence


def test_a_draw_is_not_worth_it() -> None:
    answer, sentence = said(record("accuracy", 0.5, [0.5]))
    assert answer == "no"
    assert "neither better nor worse" in sentence


def test_open_without_clients_alone() -> None:
    answer, sentence = said(record("accuracy", 0.5, [], 0.6))
    assert answer == "open"
    assert "evaluation.baselines" in sentence
    assert "60.0 %, 10.0 points better" in sentence


def test_open_without_any_evaluation() -> None:
    assert said(RunRecord(Path("run"), ""))[0] == "open"


def test_a_run_that_diverged_is_not_worth_it() -> None:
    assert said(record("rmse", float("nan"), [3.0]))[0] == "no"


def test_the_band_holds_the_middle_of_clients_alone(finished_run: Path) -> None:
    found = local_spread(RunRecord.load(finished_run), metric_name("accuracy"))
    assert found is not None
    assert len(found.values) == 10
    inside = sum(found.low <= value <= found.high for value in found.values)
    assert inside == 8
    assert found.mean == pytest.approx(sum(found.values) / 10)
