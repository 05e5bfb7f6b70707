"""Projected gradient ascent against Algorithm 1 of Halimi et al. (2022) in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedlab
from fedlab import registry
from fedlab.run import checkpoint
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.run.unlearning.method import Past, Unlearned
from fedlab.run.unlearning.methods.projected_ascent import (
    ProjectedAscentSettings,
    project,
    radius_of,
)
from tests.shared import SMALL

GONE = 1
RUN: dict[str, Any] = {
    "rounds": 3,
    "data": {"partition": {"name": "dirichlet", "clients": 4, "alpha": 1.0}},
    "client": {"epochs": 2},
}


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **(RUN | keys), path=path, progress=False)
    return RunFolder.open(path)


def ascended(folder: RunFolder, **keys: Any) -> Unlearned:
    settings = ProjectedAscentSettings(**({"rounds": 0} | keys))
    method = registry.unlearning.get("projected-ascent")(settings)
    found: Unlearned = method.unlearn(Past(folder, frozenset([GONE]), 3))
    return found


def reference_of(folder: RunFolder) -> np.ndarray[Any, Any]:
    """Return w_ref as the paper's client computes it, from w^T and its own last weights."""
    run = fedlab.load_run(folder.path)
    updates = {c: run.replay(3, c, alone=True).update for c in range(4)}
    share = updates[GONE].examples / sum(update.examples for update in updates.values())
    saved = checkpoint.load_latest(folder.checkpoints)
    assert saved is not None
    own = updates[GONE].weights.double().numpy()
    return (np.array(saved.weights, np.float64) - share * own) / (1 - share)


def softmax_ascent(
    folder: RunFolder, begun: np.ndarray[Any, Any], steps: int, radius: float
) -> np.ndarray[Any, Any]:
    """Return what steps of projected ascent lead a softmax regression to, from all its examples."""
    with Simulation(folder.scenario) as simulation:
        worker = simulation.engine.worker  # type: ignore[attr-defined]
        examples = worker.federation.examples(GONE)[0]
        inputs = worker.prepare(examples.inputs).flatten(1).double().numpy()
        layout = simulation.network.model.layout
    wanted = np.eye(10)[examples.targets.numpy()]
    place = {entry.name.rpartition(".")[2]: entry.place() for entry in layout.entries}
    weights, speed = begun.copy(), np.zeros_like(begun)
    for _ in range(steps):
        scores = inputs @ weights[place["weight"]].reshape(10, -1).T + weights[place["bias"]]
        chances = np.exp(scores - scores.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        slope = np.zeros_like(weights)
        error = (chances - wanted) / len(inputs)
        slope[place["weight"]] = (error.T @ inputs).ravel()
        slope[place["bias"]] = error.sum(0)
        slope *= min(1, 5.0 / np.linalg.norm(slope))
        speed = 0.9 * speed + slope
        weights += 0.01 * speed
        offset = weights - begun
        weights = begun + offset * min(1, radius / np.linalg.norm(offset))
    return weights


@pytest.mark.parametrize("radius", [100.0, 0.02])
def test_its_weights_are_those_of_the_papers_algorithm(tmp_path: Path, radius: float) -> None:
    folder = made(tmp_path / "run", model={"name": "linear"})
    found = ascended(folder, steps=4, radius=radius, accuracy=1e-9)
    reference = reference_of(folder)
    expected = softmax_ascent(folder, reference, 4, radius)
    assert found.weights.numpy() == pytest.approx(expected, abs=2e-6)
    assert np.linalg.norm(expected - reference) > 0.01
    assert found.figures["distance"] == pytest.approx(
        np.linalg.norm(expected - reference), rel=1e-3
    )
    assert found.cost.steps == 4


def test_it_ends_once_the_clients_examples_are_classified_by_chance(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", rounds=3, client={"epochs": 5, "optimizer": {"lr": 0.1}})
    soon, late = ascended(folder, lr=0.1, steps=200), ascended(folder, lr=0.1, accuracy=0.6)
    assert 0 < late.cost.steps < soon.cost.steps < 200
    assert soon.figures["ascended_accuracy"] < late.figures["ascended_accuracy"]


def test_running_statistics_stay_those_of_the_others(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", model={"hidden": [8], "batch_norm_layers": True})
    with Simulation(folder.scenario) as simulation:
        count = simulation.network.model.layout.wire_parameters
    found = ascended(folder, steps=3, radius=0.02, accuracy=1e-9).weights.double().numpy()
    reference = reference_of(folder)
    assert len(found) > count
    assert found[count:] == pytest.approx(reference[count:], rel=1e-4, abs=1e-6)
    assert np.linalg.norm((found - reference)[:count]) == pytest.approx(0.02, rel=1e-2)


def test_the_others_rounds_afterwards_are_those_of_the_runs_end(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    found = ascended(folder, rounds=2)
    assert [line["round"] for line in found.lines] == [2, 3]
    assert found.cost.trainings == 1 + 2 * 3
    before = ascended(folder)
    assert not torch.equal(found.weights, before.weights)
    assert before.lines == []


def test_the_radius_is_a_third_of_the_distance_to_random_models(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    with Simulation(folder.scenario) as simulation:
        task = simulation.federation.dataset.task
        zero = torch.zeros(simulation.network.model.layout.wire_size)
        own = float(simulation.initial_weights.norm())
    # Random models of one size are about equally far from nothing.
    assert radius_of(folder.scenario, task, zero) == pytest.approx(own / 3, rel=0.05)


def test_projection_leaves_what_is_inside() -> None:
    center = torch.ones(3)
    inside, outside = center + 0.1, center + 2.0
    kept = inside.clone()
    project(inside, center, 1.0)
    project(outside, center, 1.0)
    assert torch.equal(inside, kept)
    assert torch.dist(outside, center) == pytest.approx(1.0)
    assert torch.allclose(outside - center, torch.full((3,), 3**-0.5))
