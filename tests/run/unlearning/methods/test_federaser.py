"""FedEraser against its paper's equations in NumPy, computed from replays of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedlab
from fedlab import registry
from fedlab.engine.inline import InlineEngine
from fedlab.run import checkpoint
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation
from fedlab.run.unlearning.method import Past, Unlearned
from fedlab.run.unlearning.methods.federaser import FedEraserSettings, calibrated, retained_rounds
from fedlab.training.task import Assignment
from tests.shared import SMALL

GONE = 1
RUN: dict[str, Any] = {
    "rounds": 5,
    "keep_checkpoints": "all",
    "data": {"partition": {"name": "dirichlet", "clients": 4, "alpha": 1.0}},
    "client": {"epochs": 4, "batch_size": 64},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [8]},
    "batch norm": {"hidden": [8], "batch_norm_layers": True},
    "pretrained": {"hidden": [8], "pretrained": "run"},
}


def made(path: Path, **keys: Any) -> RunFolder:
    fedlab.run(SMALL, **(RUN | keys), path=path, progress=False)
    return RunFolder.open(path)


def erased(folder: RunFolder, rounds: int = 5, **keys: Any) -> Unlearned:
    method = registry.unlearning.get("federaser")(FedEraserSettings(**keys))
    found: Unlearned = method.unlearn(Past(folder, frozenset([GONE]), rounds))
    return found


def weights_after(folder: RunFolder, number: int) -> np.ndarray[Any, Any]:
    saved = checkpoint.load_latest(folder.checkpoints, number)
    assert saved is not None
    assert saved.round == number
    return np.array(saved.weights, np.float64)


def by_the_equations(folder: RunFolder, epochs: int) -> np.ndarray[Any, Any]:
    """Return M̃ after calibrating round 3 of a run whose rounds 1 and 3 are retained."""
    run, others = fedlab.load_run(folder.path), [0, 2, 3]
    first = {c: run.replay(1, c, alone=True).update for c in others}
    shares = np.array([first[c].examples for c in others], np.float64)
    shares /= shares.sum()
    sent = np.stack([first[c].weights.double().numpy() for c in others])
    unlearned = shares @ sent
    less = folder.scenario
    client = less.client.model_copy(update={"epochs": epochs})
    with Simulation(less.model_copy(update={"client": client})) as simulation:
        engine = simulation.engine
        assert isinstance(engine, InlineEngine)
        count = simulation.network.model.layout.wire_parameters
        wire = torch.from_numpy(unlearned.astype(np.float32))
        trained = np.stack(
            [engine.worker.train(Assignment(c, 3, wire)).weights.double().numpy() for c in others]
        )
    before = weights_after(folder, 2)
    total: np.ndarray[Any, Any] = unlearned.copy()
    total[count:] = shares @ trained[:, count:]
    for share, client_number, own in zip(shares, others, trained, strict=True):
        retained = run.replay(3, client_number, alone=True).update.weights.double().numpy()
        length = np.sqrt(((retained - before)[:count] ** 2).sum())
        change = own[:count] - unlearned[:count]
        total[:count] += share * length * change / np.sqrt((change**2).sum())
    return total


@pytest.mark.parametrize("network", NETWORKS)
def test_its_weights_are_those_of_the_papers_equations(tmp_path: Path, network: str) -> None:
    keys = dict(NETWORKS[network])
    if keys.get("pretrained"):
        keys["pretrained"] = str(made(tmp_path / "before", model={"hidden": [8]}).path)
    folder = made(tmp_path / "run", model=keys)
    found = erased(folder)
    assert found.weights.numpy() == pytest.approx(by_the_equations(folder, 2), abs=3e-6)
    assert [line["round"] for line in found.lines] == [1, 3]
    assert (found.cost.rounds, found.cost.trainings) == (1, 3)


def test_lengths_that_the_run_recorded_are_those_of_repeating_it(tmp_path: Path) -> None:
    plain, recording = (
        made(tmp_path / name, evaluation={"update_norms": recorded})
        for name, recorded in (("plain", False), ("recording", True))
    )
    assert np.array_equal(weights_after(plain, 5), weights_after(recording, 5))
    repeated, known = erased(plain), erased(recording)
    assert torch.equal(repeated.weights, known.weights)
    # The first round's updates are had again in any case, and the whole past in one of them.
    assert (repeated.past.rounds, known.past.rounds) == (3 + 1, 1)


def test_recorded_lengths_are_those_of_the_updates(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", evaluation={"update_norms": True})
    run = fedlab.load_run(folder.path)
    rows = run.clients[run.clients["round"] == 4]
    for client, squared in zip(rows["client"], rows["squared_change"], strict=True):
        change = run.replay(4, client, alone=True).update.weights.double().numpy()
        assert squared == pytest.approx(((change - weights_after(folder, 3)) ** 2).sum(), rel=1e-4)


def test_all_of_the_local_work_in_every_round_is_retraining_with_other_lengths(
    tmp_path: Path,
) -> None:
    folder = made(tmp_path / "run")
    found = erased(folder, interval=1, calibration=1.0)
    assert [line["round"] for line in found.lines] == [1, 2, 3, 4, 5]
    assert found.cost.trainings == 4 * 3
    retrain = registry.unlearning.get("retrain")
    oracle = retrain(retrain.Settings()).unlearn(Past(folder, frozenset([GONE]), 5))
    own = torch.from_numpy(weights_after(folder, 5)).float()
    assert torch.dist(found.weights, oracle.weights) < torch.dist(own, oracle.weights)


def test_retained_rounds_and_calibration_are_the_papers() -> None:
    assert retained_rounds(20, 2) == list(range(1, 20, 2))
    assert retained_rounds(10, 4) == [1, 5]
    assert retained_rounds(3, 4) == []
    drawn = np.random.default_rng(0).normal(size=50)
    update = calibrated(drawn, 3.0)
    assert np.linalg.norm(update) == pytest.approx(3.0)
    assert update == pytest.approx(drawn * 3.0 / np.linalg.norm(drawn))
    assert not calibrated(np.zeros(4), 3.0).any()
