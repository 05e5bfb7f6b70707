"""Self-supervised runs: the same on every engine, whole after a stop, and a start for others."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.run.baselines import run_baselines
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation, network_of
from tests.shared import scenario_with
from tests.stopping import StopAfter

VIEWS = {"data": {"augmentation": {"further": [{"name": "resized-crop"}, {"name": "flip"}]}}}
BASE: dict[str, Any] = {
    "rounds": 3,
    "data": {"train_examples": 90},
    "model": {"hidden": [6]},
    "client": {"batch_size": 16, "projection": [5, 4], "optimizer": {"lr": 0.1}},
    "evaluation": {"test_examples": 50, "probe": {"examples": 60}},
}
MASKED = {
    "model": {"name": "vit", "hidden": None, "patch_size": 2, "width": 8, "depth": 1},
    "client": {"patch_size": 2, "projection": None},
}
ALGORITHMS = ["simclr", "simsiam", "byol", "moco", "fedu", "fedema", "simmim"]
EACH = pytest.mark.parametrize("name", ALGORITHMS)


def scenario_of(name: str, *changes: Any) -> Scenario:
    own = MASKED if name == "simmim" else {}
    return scenario_with(BASE, VIEWS, {"client": {"name": name}}, own, *changes)


def folder_of(path: Path, name: str, *changes: Any) -> RunFolder:
    return RunFolder.create(path, "run", scenario_of(name, *changes))


def summary(folder: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.path / "summary.json").read_text())
    return found


@EACH
def test_stopped_and_resumed_it_reaches_the_same_bits(tmp_path: Path, name: str) -> None:
    whole, part = folder_of(tmp_path, name), folder_of(tmp_path, name)
    run(whole)
    run(part, [StopAfter(2)])
    assert summary(part)["status"] == "stopped"
    run(RunFolder.open(part.path))
    assert summary(part)["weights_sha256"] == summary(whole)["weights_sha256"]
    assert summary(part)["test"] == summary(whole)["test"]


@pytest.mark.slow
@EACH
def test_inline_and_ray_agree_bit_for_bit(tmp_path: Path, name: str) -> None:
    inline = folder_of(tmp_path, name)
    ray = folder_of(tmp_path, name, {"engine": {"name": "ray", "workers": 2}})
    for folder in (inline, ray):
        run(folder)
    assert summary(ray)["weights_sha256"] == summary(inline)["weights_sha256"]
    assert summary(ray)["test"] == summary(inline)["test"]


def test_another_run_starts_from_what_was_learned(tmp_path: Path) -> None:
    learned = folder_of(tmp_path, "byol")
    run(learned)
    tuned = scenario_with({**BASE, "client": {}}, {"model": {"pretrained": str(learned.path)}})
    network = network_of(tuned, load_federation(tuned).dataset.task)
    scratch = scenario_with({**BASE, "client": {}})
    fresh = network_of(scratch, load_federation(scratch).dataset.task)
    assert network.model.module.head.weight.shape == (10, 6)
    mine, theirs = network.model.module.state_dict(), fresh.model.module.state_dict()
    assert mine.keys() == theirs.keys()
    assert not torch.equal(mine["hidden.0.0.weight"], theirs["hidden.0.0.weight"])


def test_baselines_learn_without_labels_too(tmp_path: Path) -> None:
    keys = {"evaluation": {"baselines": ["centralised", "local", "random"]}}
    folder = folder_of(tmp_path, "simclr", keys)
    run(folder)
    run_baselines(folder, [])
    lines = list(folder.lines("baselines.jsonl"))
    assert {line["baseline"] for line in lines} == {"centralised", "local", "random"}
    for line in lines:
        assert {"loss", "spread", "probe_accuracy", "knn_accuracy"} <= line["test"].keys()
