"""The same scenario, the same seed, the same bits: on inline and ray, whatever the workers."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedlab.engine.reports import Report
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.scenario import Scenario
from tests.shared import scenario_with

BASE: dict[str, Any] = {
    "rounds": 2,
    "seed": 5,
    "data": {"partition": {"name": "dirichlet", "clients": 6, "alpha": 1.0}},
    "strategy": {"fraction_train": 0.7},
    "evaluation": {"federated": True},
}
CNN = {
    "model": {
        "name": "cnn",
        "dropout": 0.2,
        "layers": [{"channels": 4, "kernel_size": 3, "padding": 1, "batch_norm": True}],
    },
    "client": {"batch_size": 16, "optimizer": {"lr": 0.1, "momentum": 0.9}},
}

ENGINES = {
    "inline": "",
    "ray with 1 worker": "workers = 1",
    "ray with 2 workers": "workers = 2",
    "ray with 3 workers": "workers = 3",
}


# Strategy and client; the model is a small dense network, whose clients are trained stacked.
MORE = {
    "fedavg, stacked": ("fedavg", "supervised"),
    "scaffold, stacked": ("scaffold", "scaffold"),
    "ditto": ("fedavg", "ditto"),
}


def scenario_of(engine: str, keys: str = "", case: str = "fedavg") -> Scenario:
    strategy, client = MORE.get(case, (case, ""))
    parts: dict[str, Any] = CNN
    if client:
        parts = {
            "model": {"name": "mlp", "hidden": [8]},
            "client": {"name": client, "batch_size": 16},
        }
    return scenario_with(
        BASE, parts, {"engine": {"name": engine}}, engine=keys, strategy={"name": strategy}
    )


def folder_of(folder: Path, engine: str, keys: str, case: str) -> RunFolder:
    return RunFolder.create(folder, "parity", scenario_of(engine, keys, case))


def digest(folder: RunFolder) -> str:
    return hashlib.sha256((folder.path / "model.safetensors").read_bytes()).hexdigest()


def outcome(folder: Path, engine: str, keys: str, case: str) -> tuple[str, dict[str, float]]:
    run_folder = folder_of(folder, engine, keys, case)
    run(run_folder)
    return digest(run_folder), json.loads((run_folder.path / "summary.json").read_text())["test"]


# Sums of the workers' with every number of workers, individual replies with two; others are slow.
CASES = [
    ("fedavg", tuple(ENGINES)),
    ("krum", ("inline", "ray with 2 workers")),
    *(
        pytest.param(case, tuple(ENGINES), marks=pytest.mark.slow)
        for case in ("fedadam", "krum", *MORE)
    ),
]


@pytest.mark.parametrize(("case", "names"), CASES)
def test_inline_and_ray_agree_bit_for_bit_whatever_the_workers(
    tmp_path: Path, case: str, names: tuple[str, ...]
) -> None:
    outcomes = {name: outcome(tmp_path, name.split()[0], ENGINES[name], case) for name in names}
    assert len({digest for digest, _ in outcomes.values()}) == 1, outcomes
    assert len({tuple(test.items()) for _, test in outcomes.values()}) == 1


def test_a_run_repeats_to_the_bit_and_another_seed_does_not(tmp_path: Path) -> None:
    first, _ = outcome(tmp_path, "inline", "", "fedavg")
    again, _ = outcome(tmp_path, "inline", "", "fedavg")
    scenario = scenario_of("inline").model_copy(update={"seed": 6})
    other = RunFolder.create(tmp_path, "parity", scenario)
    run(other)
    assert first == again
    assert digest(other) != first


def test_fresh_processes_agree_whatever_the_order_of_their_sets(tmp_path: Path) -> None:
    here, _ = outcome(tmp_path, "inline", "", "fedadam")
    command = (
        "import sys; from pathlib import Path; from fedlab.run.folder import RunFolder; "
        "from fedlab.run.execution import run; run(RunFolder.open(Path(sys.argv[1])))"
    )
    folders = [folder_of(tmp_path, "inline", "", "fedadam") for _ in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(folder.path)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )
        for seed, folder in enumerate(folders, 1)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert [digest(folder) for folder in folders] == [here, here]


class KillAWorker(Callback):
    """Kills a worker's process in the second round, as soon as others' clients are done."""

    def __init__(self) -> None:
        self._engine: Any = None
        self._round = 0
        self._victim = 0
        self.killed = False

    def started(self, rounds: Rounds) -> None:
        self._engine = rounds.engine

    def round_started(self, server_round: int, phase: str, clients: int) -> None:
        self._round = server_round
        if server_round == 2 and phase == "train":
            import ray

            self._victim = ray.get(self._engine._pool.actors[0].ping.remote())

    def progressed(self, reports: Sequence[Report]) -> None:
        if self._round == 2 and not self.killed:
            os.kill(self._victim, signal.SIGKILL)
            self.killed = True


@pytest.mark.parametrize(
    "case", ["fedavg", *(pytest.param(case, marks=pytest.mark.slow) for case in ("fedadam", *MORE))]
)
def test_a_lost_workers_clients_are_run_again_to_the_same_bits(tmp_path: Path, case: str) -> None:
    undisturbed, _ = outcome(tmp_path, "inline", "", case)
    folder = folder_of(tmp_path, "ray", "workers = 2", case)
    killer = KillAWorker()
    run(folder, [killer])
    assert killer.killed
    assert digest(folder) == undisturbed
    assert list(folder.lines("failures.jsonl")) == []


@pytest.mark.slow
def test_flowers_own_simulation_agrees_to_float_tolerance(tmp_path: Path) -> None:
    weights = {}
    for engine in ("inline", "flower"):
        folder = RunFolder.create(tmp_path, engine, scenario_of(engine))
        run(folder)
        weights[engine] = load_file(folder.path / "model.safetensors")
        cohorts = {line["client"] for line in folder.lines("clients.jsonl")}
        assert cohorts
    for name, tensor in weights["inline"].items():
        np.testing.assert_allclose(
            tensor, weights["flower"][name], rtol=1e-4, atol=1e-5, err_msg=name
        )
