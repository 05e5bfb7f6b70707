"""A run on pictures in the cache ends in the bits of one on the same pictures in memory."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlab.data import pictures
from fedlab.data.federation import Federation
from fedlab.data.mapped import MappedExamples
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

CNN = {"name": "cnn", "layers": [{"channels": 4, "kernel_size": 3}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pictures") / "own"
    draw = np.random.default_rng(0)
    for number in range(60):
        path = root / f"site {number % 3}" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    return root


def scenario(folder: Path, engine: str, model: dict):
    data = {"name": "imagefolder", "path": str(folder), "image_size": 8, "clients_by": "folder"}
    data |= {"partition": None, "client_test": 0.2, "public": {"examples": 4}}
    return scenario_with(
        {"data": data, "model": model, "rounds": 2, "engine": {"name": engine}},
        {"client": {"epochs": 2, "batch_size": 4}, "evaluation": {"federated": True}},
    )


def bits(folder: Path, place: Path, engine: str, model: dict) -> tuple[str, dict]:
    made = RunFolder.create(place, "run", scenario(folder, engine, model))
    run(made)
    summary = json.loads((made.path / "summary.json").read_text())
    data = json.loads((made.path / "data.json").read_text())
    return summary["weights_sha256"], {"test": summary["test"], "data": data}


@pytest.mark.parametrize(
    ("engine", "model"),
    [("inline", CNN), pytest.param("ray", {"name": "mlp"}, marks=pytest.mark.slow)],
)
def test_weights_metrics_and_digests_are_the_same(folder, tmp_path, monkeypatch, engine, model):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    in_memory = bits(folder, tmp_path / "a", engine, model)
    monkeypatch.setattr(pictures, "FEW", 1)
    federation = load_federation(scenario(folder, engine, model))
    assert isinstance(federation.dataset.train, MappedExamples)
    assert bits(folder, tmp_path / "b", engine, model) == in_memory


def test_a_cluster_is_given_the_rows_and_one_machine_the_file(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pictures, "FEW", 1)
    federation: Federation = load_federation(scenario(folder, "inline", CNN))
    assert isinstance(federation.public, MappedExamples)
    whole = federation.in_memory()
    parts = (whole.dataset.train, whole.dataset.test, whole.public)
    assert not any(isinstance(part, MappedExamples) for part in parts)
