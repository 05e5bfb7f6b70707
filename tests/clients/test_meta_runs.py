"""Runs of meta-learning: the same bits after a resume and on ray; new clients included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from tests.shared import scenario_with
from tests.stopping import StopAfter

BASE = {
    "rounds": 2,
    "data": {
        "name": "iris",
        "validation": 0.0,
        "client_test": 0.3,
        "partition": {"name": "dirichlet", "clients": 6, "alpha": 1.0, "min_size": 8},
    },
    "model": {"hidden": [4]},
    "client": {"batch_size": 8, "epochs": 2, "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "strategy": {"fraction_train": 0.7},
    "evaluation": {"federated": True, "unseen_clients": 2},
}
ALGORITHMS = {
    "per-fedavg": "fedavg",
    "reptile": "fedavg",
    "fedmeta": "fedopt",
    "anil": "fedavg",
    "meta-sgd": "meta-sgd",
    "protonet": "fedavg",
}


def made(folder: Path, client: str, engine: str = "") -> RunFolder:
    names = {"client": {"name": client}, "strategy": {"name": ALGORITHMS[client]}}
    return RunFolder.create(folder, client, scenario_with(BASE, names, engine=engine))


def outcome(folder: RunFolder, rounds: Rounds) -> dict[str, Any]:
    """Return the whole outcome of a run, bit for bit."""
    assert rounds.round == 2
    lines = list(folder.lines("metrics.jsonl"))
    told = [(line["clients"], line["unseen"]) for line in lines if "clients" in line]
    state = rounds.strategy.state_dict()  # type: ignore[attr-defined]
    kept = {name: np.asarray(value).tobytes() for name, value in state.items() if name != "moments"}
    moments = {n: np.asarray(v).tobytes() for n, v in state.get("moments", {}).items()}
    return {"weights": rounds.weights.numpy().tobytes(), "told": told, "kept": (kept, moments)}


@pytest.mark.parametrize("client", ALGORITHMS)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, client: str) -> None:
    folder = made(tmp_path, client)
    whole = outcome(folder, run(folder))
    halves = made(tmp_path, client)
    assert run(halves, [StopAfter(1)]).status == "stopped"
    resumed = RunFolder.open(halves.path)
    assert outcome(resumed, run(resumed)) == whole
    clients, unseen = whole["told"][-1]
    assert clients["accuracy"]["mean"] > 0
    assert "global_accuracy" in clients
    same = unseen["0"]["loss"]["mean"] == unseen["5"]["loss"]["mean"]
    assert same == (client == "protonet")


def check_parity(folder: Path, client: str) -> None:
    inline, ray = made(folder, client), made(folder, client, 'name = "ray"\nworkers = 2')
    assert outcome(ray, run(ray)) == outcome(inline, run(inline))


def test_ray_and_inline_agree_bit_for_bit(tmp_path: Path) -> None:
    check_parity(tmp_path, "meta-sgd")


@pytest.mark.slow
@pytest.mark.parametrize("client", ALGORITHMS)
def test_ray_and_inline_agree_bit_for_bit_for_all(tmp_path: Path, client: str) -> None:
    check_parity(tmp_path, client)
