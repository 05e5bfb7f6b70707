"""Baselines: ordinary runs on the same budget, one line each in baselines.jsonl."""

from pathlib import Path
from typing import Any

import pytest

from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

BASE = {
    "data": {
        "name": "iris",
        "validation": 0.0,
        "partition": {"name": "dirichlet", "clients": 6, "alpha": 0.5, "min_size": 2},
    },
    "model": {"name": "linear"},
    "client": {"epochs": 2, "batch_size": 4},
    "strategy": {"fraction_train": 0.5},
    "evaluation": {"baselines": ["centralised", "local", "random"]},
}


class Silent:
    def baseline(self, name: str, line: dict[str, Any]) -> None:
        """Show nothing."""


def lines(folder: Path, engine: str = "inline") -> list[dict[str, Any]]:
    run_folder = RunFolder.create(folder, "baselines", scenario_with(BASE, engine={"name": engine}))
    run_baselines(run_folder, [Silent()])
    return list(run_folder.lines("baselines.jsonl"))


def test_there_is_a_line_a_round_or_for_each_client_alone(tmp_path: Path) -> None:
    found = lines(tmp_path)
    for name in ("centralised", "random"):
        assert [line["round"] for line in found if line["baseline"] == name] == [0, 1, 2, 3]
    alone = [line for line in found if line["baseline"] == "local"]
    assert [line["client"] for line in alone] == list(range(6))
    sizes = load_federation(scenario_with(BASE)).partition.sizes
    assert [line["examples"] for line in alone] == sizes.tolist()
    assert all(0 <= line["test"]["accuracy"] <= 1 for line in found)


def test_without_pretrained_weights_the_random_one_is_the_run(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(BASE))
    run(folder)
    run_baselines(folder, [Silent()])
    random = [line["test"] for line in folder.lines("baselines.jsonl") if "random" in str(line)]
    assert random == [line["test"] for line in folder.lines("metrics.jsonl")]


def test_what_is_there_is_not_run_again(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run", scenario_with(BASE))
    run_baselines(folder, [Silent()])
    before = (folder.path / "baselines.jsonl").read_text()
    run_baselines(folder, [Silent()])
    assert (folder.path / "baselines.jsonl").read_text() == before


@pytest.mark.slow
def test_on_flowers_engine_the_baselines_are_the_same(tmp_path: Path) -> None:
    assert lines(tmp_path, "flower") == lines(tmp_path, "inline")
