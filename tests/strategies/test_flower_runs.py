"""Whole runs of Flower's strategies, by their scenarios: resumed, and on ray, the same bits."""

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.registry import strategies
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import load
from tests.stopping import StopAfter

ADOPTED = [n for n in strategies.names() if strategies.get(n).__module__ == "strategies.flower"]
SHORTENED = ("rounds=3", "model.name=linear", "client.steps=2", "evaluation.test_examples=50")
INLINE = ("engine.name=inline",)


def started(parent: Path, name: str, engine: tuple[str, ...] = INLINE) -> RunFolder:
    return RunFolder.create(parent, name, load(name, (*SHORTENED, *engine)))


def finished(folder: RunFolder, *callbacks: Callback) -> str:
    run(folder, callbacks)
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


@pytest.mark.parametrize("name", ADOPTED)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = finished(started(tmp_path, name))
    stopped = started(tmp_path, name)
    assert finished(stopped, StopAfter(2)) != whole
    assert finished(RunFolder.open(stopped.path)) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ADOPTED)
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_ends_in_the_same_bits(tmp_path: Path, name: str, workers: int) -> None:
    inline = finished(started(tmp_path, name))
    ray = started(tmp_path, name, ("engine.name=ray", f"engine.workers={workers}"))
    assert finished(ray) == inline


@pytest.mark.parametrize("name", ["fixed-clipping", "adaptive-clipping"])
def test_clients_that_clip_want_a_server_that_sends_the_norm(name: str) -> None:
    scenario = load("fedavg", (*SHORTENED, *INLINE, f"updates=[{{ name = '{name}' }}]"))
    with pytest.raises(FedlabError, match=f"updates: '{name}' waits for a clipping norm"):
        Simulation(scenario)
