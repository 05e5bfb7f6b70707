"""Bad input, third part: what goes wrong while a run is under way, or when it is resumed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg
from PIL import Image
from safetensors.numpy import load_file, save_file

from fedlab.errors import is_out_of_memory
from fedlab.run import checkpoint


def the_run() -> Path:
    (folder,) = Path("runs").iterdir()
    return folder


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, from_round: int) -> Iterator[None]:
    """Let the disk be full once a checkpoint of this round is to be flushed to it."""
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if f"round-{from_round:05d}" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield


def test_after_a_full_disk_the_last_whole_checkpoint_continues(
    typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_disk(monkeypatch, from_round=2):
        outcome = typed("run", "scenario.toml")
    run = the_run()
    assert outcome.code == 2
    assert outcome.errors == [
        f"error: {run}/checkpoints cannot be written: No space left on device; round 1 is saved; "
        f"'fedlab resume {run}' goes on from there once that is mended"
    ]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "round-00000",
        "round-00001",
    ]
    assert typed("resume", run).code == 0
    resumed = json.loads((run / "summary.json").read_text())
    shutil.rmtree("runs")
    assert typed("run", "scenario.toml").code == 0
    whole = json.loads((the_run() / "summary.json").read_text())
    assert resumed["weights_sha256"] == whole["weights_sha256"]


def test_a_resumed_run_whose_data_lie_elsewhere_says_how_to_go_on(typed, desk: Path) -> None:
    rows = "".join(f"{number % 7},{number % 3},{'AB'[number % 2]}\n" for number in range(60))
    (desk / "t.csv").write_text(f"a,b,y\n{rows}")
    table = "data={name='table', path='t.csv', target='y', partition={name='iid', clients=3}}"
    assert typed("run", "scenario.toml", "--set", table, "--set", "rounds=1").code == 0
    (desk / "t.csv").rename(desk / "moved.csv")
    run, place = the_run(), "data.path=moved.csv"
    outcome = typed("resume", run, "--rounds", "2")
    assert outcome.code == 2
    assert outcome.errors == [
        f"error: data.path: there is no file {desk}/t.csv; if it lies elsewhere now: "
        f"fedlab resume {run} --set data.path=PATH"
    ]
    assert typed("resume", run, "--rounds", "2", "--set", place).code == 0


def test_a_disk_that_is_full_from_the_start_leaves_no_run_folder(
    refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def refuse(path: Path, text: str, *arguments: object, **options: object) -> int:
        if path.name.endswith(".part"):
            write_text(path, text[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    (told,) = refused("run", "scenario.toml")
    assert told.endswith("scenario.toml cannot be written: No space left on device")


def test_a_folder_that_may_not_be_written_is_reported(refused, monkeypatch) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    (told,) = refused("run", "scenario.toml")
    assert told == "the run folder cannot be made in runs: Permission denied"


def test_a_file_where_a_checkpoint_belongs_is_reported(typed, monkeypatch) -> None:
    save = checkpoint.save

    def obstructed(folder: Path, *rest: Any) -> None:
        folder.write_text("in the way")
        save(folder, *rest)

    monkeypatch.setattr(checkpoint, "save", obstructed)
    outcome = typed("run", "scenario.toml")
    assert outcome.code == 2
    assert outcome.errors == [f"error: {the_run()}/checkpoints cannot be written: File exists"]


@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_when_all_clients_fail_the_first_ones_reason_is_given(typed, engine: str) -> None:
    words = [f"engine.name={engine}", "client.optimizer.lr=1e30"]
    outcome = typed("run", "scenario.toml", *(f"--set={word}" for word in words))
    assert outcome.code == 2
    (line,) = outcome.errors
    assert line.startswith("error: round 1: 0 of 3 clients answered")
    assert "the first said: the update is not finite" in line
    assert line.endswith(
        f"; round 0 is saved; 'fedlab resume {the_run()}' goes on from there once that is mended"
    )
    failures = [json.loads(text) for text in (the_run() / "failures.jsonl").open()]
    assert [failure["client"] for failure in failures] == [0, 1, 2]


@pytest.fixture
def interrupted(typed, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run whose disk was full in its second round."""
    with full_disk(monkeypatch, from_round=2):
        assert typed("run", "scenario.toml").code == 2
    return the_run()


def cut_off(folder: Path) -> None:
    arrays = folder / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-5])


def without_arrays(folder: Path) -> None:
    (folder / "arrays.safetensors").unlink()


def without_weights(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    del state["weights"]
    (folder / "state.json").write_text(json.dumps(state))


def half_written(folder: Path) -> None:
    state = folder / "state.json"
    state.write_text(state.read_text()[:40])


@pytest.mark.parametrize("damage", [cut_off, without_arrays, without_weights, half_written])
def test_a_damaged_checkpoint_is_reported_the_one_before_serves(
    interrupted: Path, refused, typed, damage
) -> None:
    newest = interrupted / "checkpoints" / "round-00001"
    damage(newest)
    (told,) = refused("resume", interrupted)
    assert told.startswith(f"checkpoint {newest} cannot be read")
    assert told.endswith("remove that folder to resume from the one before")
    shutil.rmtree(newest)
    assert typed("resume", interrupted).code == 0


def test_a_checkpoint_of_another_model_is_refused(interrupted: Path, refused) -> None:
    path = interrupted / "checkpoints" / "round-00001" / "arrays.safetensors"
    save_file({name: np.resize(array, 3) for name, array in load_file(path).items()}, path)
    (told,) = refused("resume", interrupted)
    assert told.startswith("the checkpoint of round 1 holds 3 weights, and the scenario's model")


def test_a_resume_that_cannot_begin_leaves_the_run_as_it_is(interrupted: Path, refused) -> None:
    scenario = interrupted / "scenario.toml"
    scenario.write_text(scenario.read_text().replace("clients = 3", "clients = 500"))
    shutil.rmtree(interrupted / "checkpoints")
    (interrupted / "metrics.jsonl").unlink()
    (told,) = refused("resume", interrupted)
    assert told.startswith("data.partition.clients: 500 clients")


def test_a_run_that_another_process_holds_names_that_process(
    interrupted: Path, refused, typed
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(interrupted)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        (told,) = refused("resume", interrupted)
        assert told.startswith(f"{interrupted} is in use by process {holder.pid} on ")
    finally:
        holder.kill()
        holder.wait()
    assert (interrupted / ".lock-holder").exists()
    assert typed("resume", interrupted).code == 0
    assert not (interrupted / ".lock-holder").exists()


HOLD_THE_LOCK = """
import sys
from pathlib import Path
from fedlab.run.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def ran_out(kind: str) -> Exception:
    if kind == "Python":
        return MemoryError()
    if kind == "torch":
        return RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
    from ray.exceptions import ObjectStoreFullError

    return ObjectStoreFullError("The object store is full")


@pytest.mark.parametrize("kind", ["Python", "torch", "Ray"])
def test_after_memory_ran_out_the_last_checkpoint_continues(
    typed, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def aggregate(strategy: object, server_round: int, replies: object) -> tuple[object, None]:
        if server_round == 2:
            raise ran_out(kind)
        return whole(strategy, server_round, replies)

    whole = FedAvg.aggregate_train
    with monkeypatch.context() as patch:
        patch.setattr(FedAvg, "aggregate_train", aggregate)
        outcome = typed("run", "scenario.toml")
    run = the_run()
    assert outcome.code == 2
    (line,) = outcome.errors
    assert line.startswith("error: out of memory (")
    assert line.endswith(
        f"; round 1 is saved; 'fedlab resume {run}' goes on from there once that is mended"
    )
    assert typed("resume", run).code == 0


def test_too_little_memory_to_begin_leaves_no_run_folder(
    refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*arguments: object) -> None:
        raise ran_out("Python")

    monkeypatch.setattr("fedlab.run.simulation.network_of", build)
    (told,) = refused("run", "scenario.toml")
    assert told.startswith("out of memory (MemoryError); fewer engine.workers")


def test_another_error_of_the_system_is_no_want_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize(
    "error", [Exception("The node timed out\nduring startup"), OSError(5, "x")]
)
def test_when_ray_does_not_start_the_run_is_refused(
    refused, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    import ray

    def init(**options: object) -> None:
        raise error

    ray.shutdown()
    monkeypatch.setattr(ray, "init", init)
    (told,) = refused("run", "scenario.toml", "--set=engine.name=ray")
    assert told.startswith("Ray did not start (")
    assert told.endswith("engine.name = 'inline' needs none")


def test_a_taken_port_is_reported(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*arguments: object) -> None:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            second.bind(first.getsockname())

    monkeypatch.setattr("fedlab.run.simulation.network_of", taken)
    (told,) = refused("run", "scenario.toml")
    assert told.startswith("a port that is needed is taken by another program: Address")


def test_a_finetune_that_never_begins_leaves_nothing(refused) -> None:
    for name in ("a", "b"):
        Path("pets", name).mkdir(parents=True)
        Path("pets", name, "1.png").write_text("no picture")
    words = ("finetune", "--data", "pets", "--backbone", "lenet", "--set", "engine.name=inline")
    for more in ((), ("--output", "own.toml")):
        (told,) = refused(*words, *more)
        assert told == "--data: pets: none of its 2 files is a picture"


def test_a_finetune_keeps_a_scenario_that_was_there(refused) -> None:
    for name in ("a", "b"):
        Path("pets", name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(Path("pets", name, "1.png"))
    Path("own.toml").write_text("mine")
    words = ("finetune", "--data", "pets", "--backbone", "lenet", "--output", "own.toml")
    (told,) = refused(*words)
    assert told.startswith("--output: own.toml is there already")
