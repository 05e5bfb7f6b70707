"""Cost follows the cohort: of a million clients nobody is looked at but those who take part."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedlab.data.description import described_clients
from fedlab.data.partitioners.virtual import VirtualPartition
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from tests.shared import scenario_with

MILLION = 1_000_000
VIRTUAL = {
    "data": {
        "partition": {"name": "virtual", "clients": MILLION, "examples": 20, "alpha": 0.5},
    }
}
MADE_UP = {
    "data": {
        "name": "synthetic-population",
        "clients": MILLION,
        "size_sigma": 0.5,
        "partition": {"name": "natural", "clients": None},
    }
}
BASE = {
    "seed": 2,
    "model": {"hidden": [8]},
    "client": {"batch_size": 10},
    "strategy": {"fraction_train": 0.000005},
}


def scenario(data: dict[str, Any], engine: str = "") -> Any:
    return scenario_with(BASE, data, engine=engine)


def digest(folder: RunFolder) -> str:
    found: str = json.loads((folder.path / "summary.json").read_text())["weights_sha256"]
    return found


class Look(Callback):
    """Notes how many clients' states the engine holds."""

    def __init__(self) -> None:
        self.states = -1

    def ended(self, rounds: Rounds) -> None:
        self.states = len(rounds.engine.states)


def test_a_run_over_a_million_clients_looks_at_its_cohorts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[int] = set()
    original = VirtualPartition.rows

    def rows(self: VirtualPartition, client: int) -> Any:
        asked.add(client)
        return original(self, client)

    monkeypatch.setattr(VirtualPartition, "rows", rows)
    folder = RunFolder.create(tmp_path, "million", scenario(VIRTUAL))
    look = Look()
    partition = run(folder, [look]).engine.federation.partition
    trained = {line["client"] for line in folder.lines("clients.jsonl")}
    assert len(trained) == 15
    assert asked - set(described_clients(partition)) <= trained
    assert max(trained) > MILLION // 2
    assert look.states == 0
    described = json.loads((folder.path / "partition.json").read_text())
    assert described["clients"] == MILLION
    assert len(described["sizes"]) == len(described["validation_sizes"]) == 5000
    assert sum(path.stat().st_size for path in folder.path.rglob("*")) < 2_000_000


@pytest.mark.parametrize("data", [VIRTUAL, MADE_UP], ids=["virtual", "made-up"])
def test_clients_drawn_on_demand_are_the_same_in_another_process(tmp_path: Path, data: Any) -> None:
    inline = RunFolder.create(tmp_path, "inline", scenario(data))
    ray = RunFolder.create(tmp_path, "ray", scenario(data, 'name = "ray"\nworkers = 1'))
    run(inline)
    run(ray)
    assert digest(inline) == digest(ray)
    assert not list(ray.lines("failures.jsonl"))
