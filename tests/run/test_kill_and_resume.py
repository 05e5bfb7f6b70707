"""Killing a run at any moment loses at most the round in progress."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from tests.shared import scenario_with

BASE = {
    "rounds": 12,
    "data": {"partition": {"name": "dirichlet", "clients": 8, "alpha": 0.5}},
    "client": {"batch_size": 16},
    "strategy": {"fraction_train": 0.5},
}
FEDADAM = {
    "seed": 3,
    "model": {
        "name": "cnn",
        "dropout": 0.1,
        "layers": [{"channels": 4, "kernel_size": 3, "padding": 1, "batch_norm": True}],
        "batch_norm": "local",
    },
    "client": {"epochs": 2, "optimizer": {"lr": 0.05, "momentum": 0.9}},
    "strategy": {"name": "fedadam", "eta": 0.01},
    "evaluation": {"federated": True},
}
SCAFFOLD = {
    "model": {"hidden": [8]},
    "client": {"name": "scaffold"},
    "strategy": {"name": "scaffold"},
}

COMMAND = "import sys; from fedlab.cli import main; sys.argv[0] = 'fedlab'; main()"


@dataclass(frozen=True)
class Moment:
    """When a process is killed: some seconds after it has done so many rounds."""

    rounds: int
    seconds: float

    @classmethod
    def drawn(cls, draw: random.Random) -> Moment:
        """Return a moment in a round, at its end, or before the process has done anything."""
        rounds = draw.randint(0, 3)
        return cls(rounds, draw.uniform(0, 0.3) if rounds else draw.uniform(0, 3))

    def wait(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Wait for the moment, or for the end of the process."""
        wanted = done(folder) + self.rounds
        while process.poll() is None and done(folder) < wanted:
            time.sleep(0.002)
        time.sleep(self.seconds)


def done(folder: Path) -> int:
    """Return how many rounds are recorded."""
    metrics = folder / "metrics.jsonl"
    return metrics.read_text().count("\n") if metrics.exists() else 0


def finish(folder: Path, moment: Moment | None = None) -> bool:
    """Resume the run in a process of its own; kill it at a moment; return whether it finished."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "resume", str(folder)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if moment is not None:
            moment.wait(process, folder)
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if moment is not None and code == -signal.SIGKILL:
            return False
        errors.seek(0)
        assert code == 0, errors.read().decode()
    return True


def digest(folder: Path) -> str:
    """Return the hash of the last weights and, where clients are evaluated, of the best ones."""
    files = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


# On a machine that others use, too, starting a process may take a minute.
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("algorithm", "engine", "kills"),
    [(FEDADAM, "inline", 10), (FEDADAM, "ray", 3), (SCAFFOLD, "inline", 5)],
    ids=["inline", "ray", "scaffold"],
)
def test_killed_and_resumed_it_reaches_the_uninterrupted_weights(
    tmp_path: Path, algorithm: dict[str, Any], engine: str, kills: int
) -> None:
    whole = RunFolder.create(tmp_path, "whole", scenario_with(BASE, algorithm))
    run(whole)
    draw = random.Random(7)
    killed = 0
    while killed < kills:
        scenario = scenario_with(BASE, algorithm, engine={"name": engine})
        broken = RunFolder.create(tmp_path, "broken", scenario)
        while killed < kills and not finish(broken.path, Moment.drawn(draw)):
            killed += 1
        assert finish(broken.path)
        assert digest(broken.path) == digest(whole.path)
        rounds = [line["round"] for line in broken.lines("metrics.jsonl")]
        assert rounds == list(range(13))
        trained = [line for line in broken.lines("clients.jsonl") if line["phase"] == "train"]
        assert len({(line["round"], line["client"]) for line in trained}) == len(trained) == 12 * 4


@pytest.mark.parametrize(("stops", "most_bytes"), [((0, 1, 4, 6), 1 << 28), ((3,), 500)])
def test_stopped_after_any_round_it_reaches_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: tuple[int, ...], most_bytes: int
) -> None:
    from fedlab.run.callbacks import Callback, RoundOutcome
    from fedlab.run.rounds import Rounds

    class Stop(Exception):
        pass

    class StopAfter(Callback):
        def __init__(self, number: int) -> None:
            self.number = number

        def round_ended(self, rounds: Rounds, outcome: RoundOutcome) -> None:
            if outcome.round == self.number:
                raise Stop

    scenario = scenario_with(BASE, FEDADAM, rounds=6, data={"train_examples": 400})
    whole = RunFolder.create(tmp_path, "whole", scenario)
    run(whole)
    monkeypatch.setattr("fedlab.engine.client_states.MOST_BYTES", most_bytes)
    for number in stops:
        folder = RunFolder.create(tmp_path, "part", scenario)
        with pytest.raises(Stop):
            run(folder, [StopAfter(number)])
        run(RunFolder.open(folder.path))
        assert digest(folder.path) == digest(whole.path), number
        assert list(folder.client_states.iterdir())
        assert (folder.path / "clients.jsonl").read_text().count('"train"') == 6 * 4
