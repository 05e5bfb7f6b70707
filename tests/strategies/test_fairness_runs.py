"""Whole runs of the fair and the clustered strategies: resumed, and on ray, the same bits."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "rounds": 4,
    "seed": 3,
    "data": {
        "name": "rotated-digits",
        "train_examples": 400,
        "natural_clients": 8,
        "angles": 2,
        "validation": 0.2,
        "partition": {"name": "natural", "clients": None},
    },
    "model": {"name": "linear"},
    "client": {"batch_size": 16, "optimizer": {"lr": 0.1}},
    "evaluation": {"federated": True},
    "strategy": {"fraction_train": 0.8},
}
STRATEGIES = {
    "afl": ("afl", 'name = "afl"\nmixture_rate = 0.05'),
    "fedmgda+": ("supervised", 'name = "fedmgda+"\ndecay = 0.9'),
    "ifca": ("ifca", 'name = "ifca"\nclusters = 2\nspread = 1.0'),
    "fl+hc": ("supervised", 'name = "fl+hc"\nwarm_up = 1\nclusters = 2'),
}
ALL = pytest.mark.parametrize("name", STRATEGIES)


def started(parent: Path, name: str, engine: str = "") -> RunFolder:
    client, strategy = STRATEGIES[name]
    scenario = scenario_with(BASE, client={"name": client}, strategy=strategy, engine=engine)
    return RunFolder.create(parent, "fair", scenario)


def finished(folder: RunFolder, *callbacks: Callback) -> tuple[str, list[Any]]:
    """Return the weights' hash, and what clients reached in each round."""
    run(folder, callbacks)
    summary = json.loads((folder.path / "summary.json").read_text())
    reached = [line.get("clients") for line in folder.lines("metrics.jsonl")]
    return summary["weights_sha256"], reached


@ALL
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = finished(started(tmp_path, name))
    # In the round of clustering, and after it.
    for last in (2, 3):
        stopped = started(tmp_path, name)
        assert finished(stopped, StopAfter(last))[0] != whole[0]
        assert finished(RunFolder.open(stopped.path)) == whole


@ALL
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_ends_in_the_same_bits(tmp_path: Path, name: str, workers: int) -> None:
    inline = finished(started(tmp_path, name))
    assert finished(started(tmp_path, name, f'name = "ray"\nworkers = {workers}')) == inline
