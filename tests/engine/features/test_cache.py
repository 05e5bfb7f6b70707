"""The feature cache: the plain loop's results, at the cost of the rest of the model."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from fedlab.engine.features import cache as feature_cache
from fedlab.engine.features.cache import CannotCache, plan_features
from fedlab.engine.ray.features import SharedFeatures
from fedlab.models.network import build_network
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

BASE = {
    "seed": 4,
    "data": {"partition": {"name": "dirichlet", "clients": 5, "alpha": 0.5}},
    "client": {"epochs": 2, "optimizer": {"lr": 0.1, "momentum": 0.5}},
    "evaluation": {"federated": True},
}
CNN = """name = "cnn"
layers = [{channels = 4, batch_norm = true}, {channels = 6}]
hidden = [8]
dropout = 0.2
"""
VIT = 'name = "vit"\npatch_size = 4\nwidth = 8\ndepth = 3\nheads = 2\ndropout = 0.2\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def outcome(
    folder: Path, model: str, engine: str = ""
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    scenario = scenario_with(BASE, model=model, engine=engine)
    run_folder = RunFolder.create(folder, "features", scenario)
    run(run_folder)
    summary = json.loads((run_folder.path / "summary.json").read_text())
    return summary, load_file(run_folder.path / "model.safetensors")


@pytest.mark.parametrize("trainable", ["head", "last:1"])
@pytest.mark.parametrize("model", [CNN, VIT], ids=["cnn", "vit"])
def test_cached_features_give_the_plain_loops_result(
    tmp_path: Path, model: str, trainable: str
) -> None:
    keys = model + f'trainable = "{trainable}"\n'
    plain, expected = outcome(tmp_path, keys, "feature_cache = false")
    cached, weights = outcome(tmp_path, keys)
    assert cached["engine"]["feature_cache"] is True
    assert plain["engine"]["feature_cache"] == "engine.feature_cache is false"
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, rtol=1e-4, atol=1e-5, err_msg=name)
    assert cached["test"]["accuracy"] == pytest.approx(plain["test"]["accuracy"], abs=0.01)
    assert cached["parameters"] == plain["parameters"]


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_ray_and_inline_agree_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    digests = set()
    for number, engine in enumerate(["", f'name = "ray"\nworkers = {workers}']):
        # Every engine computes the features anew.
        monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / f"cache {number}"))
        summary, _ = outcome(tmp_path, CNN + 'trainable = "head"', engine)
        assert summary["engine"]["feature_cache"] is True
        digests.add(summary["weights_sha256"])
    assert len(digests) == 1


def test_features_that_travel_to_workers_are_those_of_files(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f'{CNN}trainable = "last:1"\n'
    _, expected = outcome(tmp_path, model)
    files = {path.name: path.read_bytes() for path in cache.glob("features/*.npy")}
    assert len(files) == 2
    for path in cache.glob("features/*.npy"):
        path.unlink()
    # As on a cluster, whose nodes have no files in common.
    there = partial(SharedFeatures, has_files=False)
    monkeypatch.setattr(
        "fedlab.engine.ray.engine.SharedFeatures", lambda ray, has_files: there(ray)
    )
    summary, weights = outcome(tmp_path, model, 'name = "ray"\nworkers = 2')
    assert summary["engine"]["feature_cache"] is True
    assert {path.name: path.read_bytes() for path in cache.glob("features/*.npy")} == files
    for name, tensor in expected.items():
        np.testing.assert_array_equal(weights[name], tensor, err_msg=name)


def test_features_are_computed_once_and_found_again(tmp_path: Path, cache: Path) -> None:
    first, _ = outcome(tmp_path, VIT + 'trainable = "head"')
    files = sorted((cache / "features").glob("*.npy"))
    written = [file.read_bytes() for file in files]
    assert len(files) == 2
    for file in files:
        os.utime(file, (1, 1))
    again, _ = outcome(tmp_path, VIT + 'trainable = "head"')
    assert sorted((cache / "features").iterdir()) == files
    assert [file.read_bytes() for file in files] == written
    assert all(file.stat().st_mtime > 1 for file in files), "use counts as new"
    assert again["weights_sha256"] == first["weights_sha256"]


def planned(model: str, rounds: int = 3, data: str = "") -> list[feature_cache.FeatureFile]:
    scenario: Any = scenario_with(BASE, model=model, rounds=rounds, data=data)
    federation = load_federation(scenario)
    network = build_network(scenario.model, federation.dataset.task, scenario.seed)
    return plan_features(scenario, network, federation)


def test_other_weights_data_or_cuts_have_other_files() -> None:
    head = planned(CNN + 'trainable = "head"')
    assert head == planned(CNN + 'trainable = "head"', rounds=7)
    others = [
        planned(CNN + 'trainable = "last:1"'),
        planned(CNN.replace("channels = 4", "channels = 5") + 'trainable = "head"'),
        planned(CNN + 'trainable = "head"', data="train_examples = 900"),
    ]
    assert len({files[0].path for files in [head, *others]}) == 4


def test_an_augmentation_that_is_switched_off_is_none() -> None:
    head = CNN + 'trainable = "head"'
    assert planned(head, data="augmentation = {flip = false, crop_padding = 0}") == planned(head)


@pytest.mark.parametrize(
    ("model", "rounds", "data", "reason"),
    [
        (CNN, 3, "", "nothing comes before"),
        (
            CNN + 'trainable = "head"',
            3,
            "augmentation = {flip = true}",
            "pictures are augmented at random",
        ),
    ],
)
def test_what_cannot_be_cached_is_refused_with_the_reason(
    model: str, rounds: int, data: str, reason: str
) -> None:
    with pytest.raises(CannotCache, match=reason):
        planned(model, rounds, data)


def test_a_run_that_looks_at_few_samples_computes_none_before(tmp_path: Path) -> None:
    model = CNN + 'trainable = "head"'
    client = {"epochs": None, "steps": 3}
    scenario = scenario_with(BASE, model=model, rounds=1, client=client)
    run_folder = RunFolder.create(tmp_path, "few", scenario)
    run(run_folder)
    summary = json.loads((run_folder.path / "summary.json").read_text())
    assert "fewer samples" in summary["engine"]["feature_cache"]


def test_the_features_unused_for_longest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "MOST_BYTES_KEPT", 3000)
    for age, name in enumerate(["new.npy", "middle.npy", "old.npy"]):
        (tmp_path / name).write_bytes(bytes(1000))
        os.utime(tmp_path / name, (100 - age, 100 - age))
    file = feature_cache.FeatureFile("train", tmp_path / "made.npy", (50, 5))
    file.begin()
    assert {path.name for path in tmp_path.glob("*.npy") if path != file.draft} == {
        "new.npy",
        "middle.npy",
    }
    assert not file.path.exists(), "nobody finds a file that is not whole"
    file.finish()
    assert np.load(file.path).shape == (50, 5)


def test_an_unfinished_draft_is_not_taken_for_features(tmp_path: Path, cache: Path) -> None:
    keys = VIT + 'trainable = "head"'
    file = planned(keys)[0]
    file.begin()
    assert torch.from_numpy(np.load(file.draft)).abs().sum() == 0
    summary, _ = outcome(tmp_path, keys)
    assert summary["engine"]["feature_cache"] is True
    assert np.abs(np.load(planned(keys)[0].path)).sum() > 0
