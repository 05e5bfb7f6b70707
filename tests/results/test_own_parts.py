"""What clients reach on their own parts: whose models are compared, and where it is shown."""

from pathlib import Path

import pytest

from fedlab.metrics.names import metric_name
from fedlab.results.own_parts import own_parts
from fedlab.results.reading import RunRecord
from fedlab.results.report.sections import clients
from fedlab.results.rows import BaselineRow, DataTable, RoundRow, ScenarioOutline, Spread
from fedlab.run.display import round_line


def spread(mean: float) -> Spread:
    return Spread(mean=mean, std=0.1, worst_decile=mean - 0.2, min=0.1, max=1.0)


def record(personalised: bool = True, client_test: float = 0.3) -> RunRecord:
    found = {"accuracy": spread(0.9)}
    if personalised:
        found["global_accuracy"] = spread(0.6)
    alone = [
        BaselineRow(baseline="local", client=k, test={"accuracy": 0.1}, own={"accuracy": value})
        for k, value in enumerate((0.7, 0.9))
    ]
    return RunRecord(
        path=Path("nowhere"),
        scenario_text="",
        scenario=ScenarioOutline(data=DataTable(client_test=client_test)),
        rounds=[RoundRow(round=4, clients=found, cohort=2), RoundRow(round=5, cohort=2)],
        baselines=alone,
    )


def test_personalised_models_stand_beside_global_and_local_ones() -> None:
    own = own_parts(record())
    assert own is not None
    assert own.round == 4
    assert own.means == pytest.approx({"personalised": 0.9, "global model": 0.6, "each alone": 0.8})
    assert own.sentence.startswith("Mean accuracy on clients' own test parts: personalised")


def test_without_personalisation_the_global_model_was_measured() -> None:
    own = own_parts(record(personalised=False, client_test=0.0))
    assert own is not None
    assert own.part == "validation parts"
    assert own.means == pytest.approx({"global model": 0.9, "each alone": 0.8})


def test_the_report_shows_all_of_them() -> None:
    section = clients(record())
    assert section is not None
    assert "on their own test parts" in section.lead
    facts = dict(section.facts)
    assert [facts[f"{who} (mean)"] for who in ("personalised", "global model", "each alone")] == [
        metric_name("accuracy").text(value) for value in (0.9, 0.6, 0.8)
    ]


def test_a_rounds_line_shows_personalised_and_global() -> None:
    means = {"accuracy": 0.9, "global_accuracy": 0.6}
    line = round_line(
        {"round": 1, "clients": {n: {"mean": m, "worst_decile": m} for n, m in means.items()}}, 3
    )
    assert "personalised 90.0" in line
    assert "global model 60.0" in line


def test_the_global_models_metric_is_judged_like_its_own_kind() -> None:
    assert metric_name("global_accuracy").higher_is_better
    assert not metric_name("global_loss").higher_is_better
    assert metric_name("global_accuracy").label == "accuracy of the global model"
