"""Clients whose examples do not define a metric are evaluated like the others."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of three sites, one of which has a single class."""
    draw = np.random.default_rng(0)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "site", "ill"])
        for row in range(150):
            values = draw.normal(size=2)
            ill = "no" if row % 3 == 0 else ("yes" if values[0] + values[1] > 0 else "no")
            writer.writerow([*values.round(3), f"s{row % 3}", ill])
    return tmp_path / "t.csv"


@pytest.mark.parametrize("engine", [{"name": "inline"}, {"name": "ray", "workers": 2}])
def test_a_site_of_one_class_fails_nowhere_and_counts_where_it_can(engine, table, tmp_path):
    scenario = scenario_with(
        data={
            "name": "table",
            "path": str(table),
            "target": "ill",
            "clients_by": "site",
            "validation": 0.3,
            "partition": {"name": "natural", "clients": None},
        },
        engine=engine,
        client={"epochs": 3, "early_stopping": {"metric": "auroc", "patience": 1}},
        evaluation={
            "federated": True,
            "metrics": ["auroc", "accuracy", "brier"],
            "early_stopping": {"metric": "auroc", "threshold": 0.999},
        },
    )
    folder = RunFolder.create(tmp_path / "runs", "t", scenario)
    run(folder)
    last = list(folder.lines("metrics.jsonl"))[-1]
    assert last["failures"] == 0
    assert list(last["test"]) == ["loss", "auroc", "accuracy", "brier"]
    assert list(last["validation"]) == ["loss", "accuracy", "brier", "auroc"]
    rows = [row for row in folder.lines("clients.jsonl") if row["phase"] == "evaluate"]
    assert {row["client"]: "auroc" in row for row in rows} == {0: False, 1: True, 2: True}
    assert "NaN" not in json.dumps(rows)
    summary = json.loads((folder.path / "summary.json").read_text())
    assert "auroc" in json.dumps(summary)
