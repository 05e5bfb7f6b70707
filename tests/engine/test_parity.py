"""The same scenario, the same seed, the same bits: on inline and ray, whatever the workers."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import load_file

from fedlab.engine.reports import Report
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.scenario import loads

SCENARIO = """
rounds = 2
seed = 5
[data]
name = "digits"
[data.partition]
name = "dirichlet"
clients = 6
alpha = 1.0
[model]
name = "cnn"
dropout = 0.2
layers = [{{channels = 4, kernel_size = 3, padding = 1, batch_norm = true}}]
[client]
batch_size = 16
[client.optimizer]
lr = 0.1
momentum = 0.9
[strategy]
name = "{strategy}"
fraction_train = 0.7
[engine]
name = "{engine}"
{keys}
[evaluation]
federated = true
"""

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


def folder_of(folder: Path, engine: str, keys: str, case: str) -> RunFolder:
    strategy, client = MORE.get(case, (case, ""))
    table = tomllib.loads(SCENARIO.format(engine=engine, keys=keys, strategy=strategy))
    if client:
        table["model"] = {"name": "mlp", "hidden": [8]}
        table["client"] = {"name": client, "batch_size": 16}
    return RunFolder.create(folder, "parity", loads(tomli_w.dumps(table)))


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
def test_inline_and_ray_with_any_number_of_workers_agree_bit_for_bit(
    tmp_path: Path, case: str, names: tuple[str, ...]
) -> None:
    outcomes = {name: outcome(tmp_path, name.split()[0], ENGINES[name], case) for name in names}
    assert len({digest for digest, _ in outcomes.values()}) == 1, outcomes
    assert len({tuple(test.items()) for _, test in outcomes.values()}) == 1


def test_a_repeated_run_gives_the_same_bits_and_another_seed_does_not(tmp_path: Path) -> None:
    first, _ = outcome(tmp_path, "inline", "", "fedavg")
    again, _ = outcome(tmp_path, "inline", "", "fedavg")
    scenario = loads(SCENARIO.format(engine="inline", keys="", strategy="fedavg"))
    other = RunFolder.create(tmp_path, "parity", scenario.model_copy(update={"seed": 6}))
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
        scenario = loads(SCENARIO.format(engine=engine, keys="", strategy="fedavg"))
        folder = RunFolder.create(tmp_path, engine, scenario)
        run(folder)
        weights[engine] = load_file(folder.path / "model.safetensors")
        cohorts = {line["client"] for line in folder.lines("clients.jsonl")}
        assert cohorts
    for name, tensor in weights["inline"].items():
        np.testing.assert_allclose(
            tensor, weights["flower"][name], rtol=1e-4, atol=1e-5, err_msg=name
        )
