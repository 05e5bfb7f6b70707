"""Whole runs of adaptation: resumed, and on ray, the same bits; batch norm and pretrained, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from tests.shared import Changes, scenario_with
from tests.stopping import StopAfter

BASE: dict[str, Any] = {
    "seed": 5,
    "rounds": 3,
    "data": {
        "train_examples": 120,
        "partition": {"name": "iid", "clients": 4},
        "unlabelled": [3],
        "shift": [{"name": "rotation", "strengths": [0, 15, 30, 45]}],
    },
    "client": {"batch_size": 8, "optimizer": {"lr": 0.05}},
    "evaluation": {"test_examples": 50},
}
BATCH_NORM = {
    "model": {
        "name": "cnn",
        "layers": [{"channels": 3, "kernel_size": 3, "batch_norm": True}],
    }
}
PRETRAINED = {
    "model": {
        "name": "tf_efficientnet_lite0",
        "pretrained": "package",
        "trainable": "last:1",
        "image_size": 32,
        "batch_norm": "train",
    }
}
# Strategy and client.
ALGORITHMS = {
    "coral": ("domain-means", "coral"),
    "mmd": ("domain-means", "mmd"),
    "dann": ("domain-means", "dann"),
    "adabn": ("fedavg", "adabn"),
    "tent": ("fedavg", "tent"),
    "irm": ("fedgma", "irm"),
    "kd3a": ("kd3a", "kd3a"),
    "semifl": ("semifl", "semifl"),
}
EACH = pytest.mark.parametrize("algorithm", ALGORITHMS)


def scenario(algorithm: str, *changes: Changes) -> Any:
    strategy, client = ALGORITHMS[algorithm]
    root = {"root_examples": 20} if strategy == "semifl" else {}
    names = {"strategy": {"name": strategy, **root}, "client": {"name": client}}
    return scenario_with(BASE, names, *changes)


def started(parent: Path, algorithm: str, *changes: Changes) -> RunFolder:
    return RunFolder.create(parent, "run", scenario(algorithm, *changes))


def digest(folder: RunFolder) -> str:
    found: str = json.loads((folder.path / "summary.json").read_text())["weights_sha256"]
    return found


@EACH
def test_stopped_and_resumed_it_reaches_the_same_bits(tmp_path: Path, algorithm: str) -> None:
    whole, part = (started(tmp_path, algorithm, BATCH_NORM) for _ in range(2))
    run(whole)
    run(part, [StopAfter(2)])
    again = RunFolder.open(part.path)
    run(again)
    assert digest(again) == digest(whole)


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("workers", [1, 2])
def test_inline_and_ray_agree_bit_for_bit(tmp_path: Path, algorithm: str, workers: int) -> None:
    inline = started(tmp_path, algorithm, BATCH_NORM)
    run(inline)
    engine = {"engine": {"name": "ray", "workers": workers, "vectorised": "auto"}}
    ray = started(tmp_path, algorithm, BATCH_NORM, engine)
    run(ray)
    assert digest(ray) == digest(inline)


@EACH
def test_a_pretrained_network_learns(algorithm: str, asset: Any) -> None:
    asset("efficientnet-lite0")
    less: dict[str, Any] = {
        "rounds": 1,
        "data": {"train_examples": 40},
        "evaluation": {"test_examples": 20},
    }
    if algorithm == "tent":
        less["model"] = {"trainable": "norm+head"}
    if algorithm == "kd3a":
        # There is nobody to vote in the first round.
        less["rounds"] = 2
    with Simulation(scenario(algorithm, PRETRAINED, less)) as simulation:
        before = simulation.initial_weights.clone()
        rounds = simulation.rounds()
        rounds.run()
    assert torch.isfinite(rounds.weights).all()
    assert not torch.equal(rounds.weights, before)
