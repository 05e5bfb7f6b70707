"""What clients are worth: exact on a small run, and lowest for those that do harm."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlab
from fedlab.errors import FedlabError
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.run.value import ranked, value
from tests.shared import SMALL


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **keys, path=path, progress=False)
    return RunFolder.open(path)


def test_values_of_a_round_are_those_of_means_of_its_updates(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=1)
    run = fedlab.load_run(folder.path)
    updates = {c: run.replay(1, c, alone=True).update for c in range(3)}
    examples = {c: update.examples for c, update in updates.items()}

    def tested(coalition: tuple[int, ...]) -> float:
        if not coalition:
            return float(run.metrics["test.accuracy"].iloc[0])
        total = sum(examples[c] for c in coalition)
        mean = sum(updates[c].weights * (examples[c] / total) for c in coalition)
        with Simulation(folder.scenario) as simulation:
            return simulation.engine.evaluate(mean).compute()["accuracy"]

    found = value(folder)
    for client in range(3):
        others = [c for c in range(3) if c != client]
        gains = [
            (tested((*chosen, client)) - tested(chosen)) / (3 * comb(2, size))
            for size in range(3)
            for chosen in combinations(others, size)
        ]
        assert found.values[client] == pytest.approx(sum(gains), abs=0.006)
    whole = run.metrics["test.accuracy"]
    assert sum(found.values.values()) == pytest.approx(whole.iloc[1] - whole.iloc[0], abs=0.006)


ATTACKED = {
    "rounds": 4,
    "data": {"partition": {"clients": 6}},
    "attack": {"name": "label-flip", "fraction": 0.34},
}


@pytest.mark.parametrize("method", ["shapley", "leave-one-out"])
def test_clients_that_flip_labels_are_worth_least(tmp_path: Path, method: str) -> None:
    folder = made(tmp_path / "run", **ATTACKED)
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    malicious = json.loads((folder.path / "attack.json").read_text())["clients"]
    found = value(folder, method)
    order = [client for client, _ in ranked(found)]
    assert set(order[-len(malicious) :]) == set(malicious)
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_leaving_out_is_a_run_without_the_client(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=2)
    found = value(folder, "leave-one-out", [1])
    assert list(found.values) == [1]
    assert np.isfinite(found.values[1])
    with pytest.raises(FedlabError, match="--client 9: the clients are 0 to 2"):
        value(folder, "leave-one-out", [9])
    with pytest.raises(FedlabError, match="--client goes with --method leave-one-out"):
        value(folder, "shapley", [1])
