"""Every foundation scenario, run as it stands, shows what its title says."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.scenario import built_in, load
from fedlab.scenario.parts import load_federation

SEEDS = [pytest.param(seed, marks=pytest.mark.slow if seed > 1 else ()) for seed in (1, 2, 3)]
REMEDIES = ("dropout", "l1", "l2", "batch-norm", "early-stopping")
CNN_VARIANTS = sorted(
    name for name, path in built_in().items() if path.parent.name == "foundations" and "cnn" in name
)
FAST_VARIANTS = ("cnn", "cnn-batch-norm")
"""The others train as long, in the same loop; a round of each is run with all scenarios'."""


def finished(name: str, parent: Path, *overrides: str) -> RunFolder:
    """Return the folder of a finished run of a built-in scenario."""
    folder = RunFolder.create(parent, name, load(name, overrides))
    run(folder)
    return folder


def curve(folder: RunFolder) -> list[dict[str, float]]:
    """Return the test metrics of every round, round 0 included."""
    return [line["test"] for line in folder.lines("metrics.jsonl")]


def summary(folder: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder.path / "summary.json").read_text())
    return content


def weights(folder: RunFolder) -> dict[str, Any]:
    return dict(load_file(folder.path / "model.safetensors"))


def accuracy(folder: RunFolder) -> float:
    return curve(folder)[-1]["accuracy"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_perceptron_learns_or_without_a_miss(tmp_path: Path, seed: int) -> None:
    folder = finished("perceptron-or", tmp_path, f"seed={seed}")
    assert summary(folder)["rounds"] < 100
    assert accuracy(folder) == 1.0
    layer = weights(folder)
    table = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    outputs = table @ layer["head.weight"][0] + layer["head.bias"] >= 0
    assert outputs.tolist() == [False, True, True, True]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_perceptron_never_learns_xor(tmp_path: Path, seed: int) -> None:
    folder = finished("perceptron-xor", tmp_path, f"seed={seed}")
    assert summary(folder)["status"] == "finished"
    assert len(curve(folder)) == 101
    assert max(test["accuracy"] for test in curve(folder)) <= 0.75


def test_the_perceptron_moves_in_steps_of_a_tenth() -> None:
    scenario = load("perceptron-xor", ["rounds=5"])
    with Simulation(scenario) as simulation:
        start = simulation.initial_weights.numpy()
        rounds = simulation.rounds()
        rounds.run()
    assert np.abs(start).max() <= 0.5
    steps = (rounds.weights.numpy() - start) / 0.1
    assert np.abs(steps).max() >= 1
    np.testing.assert_allclose(steps, steps.round(), atol=1e-4)


def test_the_delta_rule_settles_on_the_least_squares_line(tmp_path: Path) -> None:
    folder = finished("delta-rule-xor", tmp_path)
    layer = weights(folder)
    np.testing.assert_allclose(layer["head.weight"], [[0.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(layer["head.bias"], [0.5], atol=1e-4)
    assert curve(folder)[-1]["rmse"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_back_propagation_learns_xor_sooner_with_momentum(tmp_path: Path, seed: int) -> None:
    plain = finished("mlp-xor", tmp_path, f"seed={seed}")
    carried = finished("mlp-xor-momentum", tmp_path, f"seed={seed}")
    for folder in (plain, carried):
        assert summary(folder)["status"] == "stopped"
        # One output on the wrong side of 0.5 alone would make it 0.25.
        assert curve(folder)[-1]["rmse"] <= 0.1
    assert summary(carried)["rounds"] < summary(plain)["rounds"]


def test_the_vanilla_rnn_forgets(tmp_path: Path) -> None:
    assert accuracy(finished("remember-rnn", tmp_path)) < 0.35


@pytest.mark.parametrize("cell", ["lstm", pytest.param("gru", marks=pytest.mark.slow)])
def test_the_gated_cells_remember_what_the_vanilla_rnn_forgets(tmp_path: Path, cell: str) -> None:
    assert accuracy(finished(f"remember-{cell}", tmp_path)) > 0.95


@pytest.mark.slow
def test_the_transformer_says_sequences_backwards(tmp_path: Path) -> None:
    folder = finished("reverse-transformer", tmp_path)
    assert curve(folder)[0]["accuracy"] < 0.25
    assert accuracy(folder) > 0.98


def test_the_autoencoder_beats_mean_picture_and_components(tmp_path: Path) -> None:
    folder = finished("autoencoder", tmp_path)
    dataset = load_federation(folder.scenario).dataset
    train, test = (part.inputs.flatten(1).numpy() / 255 for part in (dataset.train, dataset.test))
    rest = test - train.mean(0)
    axes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:8]
    mean_picture = np.sqrt(np.square(rest).mean())
    components = np.sqrt(np.square(rest - rest @ axes.T @ axes).mean())
    assert (mean_picture, components) == pytest.approx((0.270, 0.157), abs=0.0005)
    assert curve(folder)[-1]["rmse"] < 0.145


@pytest.mark.slow
def test_the_vision_transformer_reads_digits(tmp_path: Path) -> None:
    assert accuracy(finished("vit-digits", tmp_path)) > 0.88


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in FAST_VARIANTS else pytest.mark.slow) for n in CNN_VARIANTS],
)
def test_a_cnn_of_each_kind_reads_digits(tmp_path: Path, name: str) -> None:
    assert accuracy(finished(name, tmp_path)) > 0.9


def test_the_cnn_scenarios_turn_every_hyperparameter() -> None:
    plain = {
        "kernel_size": 3,
        "stride": 1,
        "dilation": 1,
        "batch_norm": False,
        "residual": False,
    }
    layers: list[Any] = []
    for name in CNN_VARIANTS:
        scenario: Any = load(name)
        layers += scenario.model.layers
    for key, usual in plain.items():
        assert any(getattr(layer, key) != usual for layer in layers), key
    assert {layer.pooling for layer in layers} == {"none", "max", "average", "sum"}
    assert len({layer.padding for layer in layers}) > 1


@cache
def errors(name: str, seed: int) -> tuple[float, float]:
    """Return the loss on the training and the test part, both without dropout, after the run."""
    scenario = load(name, [f"seed={seed}", "evaluation.every=100"])
    with Simulation(scenario) as simulation:
        rounds = simulation.rounds()
        rounds.run()
        unseen = simulation.engine.evaluate(rounds.weights).compute()["loss"]
        federation = simulation.federation
    dataset = replace(federation.dataset, test=federation.dataset.train)
    with Simulation(scenario, replace(federation, dataset=dataset)) as simulation:
        seen = simulation.engine.evaluate(rounds.weights).compute()["loss"]
    return seen, unseen


def test_the_large_network_learns_by_heart(tmp_path: Path) -> None:
    folder = finished("overfitting", tmp_path, "evaluation.every=5")
    losses = [line["test"]["loss"] for line in folder.lines("metrics.jsonl") if "test" in line]
    assert losses[-1] > 1.2 * min(losses)
    seen, unseen = errors("overfitting", 1)
    assert unseen > 10 * seen


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("remedy", REMEDIES)
def test_each_remedy_lowers_the_unseen_error_and_its_gap(remedy: str, seed: int) -> None:
    seen, unseen = errors("overfitting", seed)
    seen_with, unseen_with = errors(f"overfitting-{remedy}", seed)
    assert unseen_with < unseen
    assert unseen_with - seen_with < unseen - seen


@pytest.mark.parametrize("name", ["softmax-iris", "mlp-wine"])
def test_federated_clients_learn_a_small_table(tmp_path: Path, name: str) -> None:
    assert accuracy(finished(name, tmp_path)) > 0.8
