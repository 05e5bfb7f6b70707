"""A run folder in the documented format, from a real federated run of softmax regression.

Ten clients hold scikit-learn's digits by a Dirichlet partition; federated averaging and the
baselines are plain NumPy, so that readers of run folders can be tested without the platform.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss

from fedlab.metrics.spread import describe, gini

CLIENTS, COHORT, ROUNDS, CLASSES = 10, 5, 8, 10
SCENARIO = """title = "Digits, ten clients"
rounds = 8
seed = 3

[data]
name = "digits"

[data.partition]
name = "dirichlet"
clients = 10
alpha = 0.3

[model]
name = "linear"
pretrained = false

[client]
name = "supervised"

[strategy]
name = "fedavg"

[engine]
name = "inline"

[evaluation]
baselines = ["centralised", "local"]
"""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run; tests leave it as it is."""
    return write_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """Return a copy of a finished run, for tests that change it."""
    return Path(shutil.copytree(finished_run, tmp_path / "digits"))


@pytest.fixture(scope="session")
def slower_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the same task with small steps and fewer rounds."""
    return write_run(tmp_path_factory.mktemp("runs") / "digits-slower", rounds=4, step=0.05)


def write_run(path: Path, rounds: int = ROUNDS, step: float = 0.5) -> Path:
    """Train, and write the folder of a finished run; return its path."""
    path.mkdir(parents=True)
    draw = np.random.default_rng(3)
    inputs, targets = load_digits(return_X_y=True)
    order = draw.permutation(len(inputs))
    inputs, targets = inputs[order] / 16, targets[order]
    test = (inputs[:400], targets[:400])
    parts = _dirichlet(targets[400:], draw)
    held = [(inputs[400:][rows], targets[400:][rows]) for rows in parts]

    (path / "scenario.toml").write_text(SCENARIO.replace("rounds = 8", f"rounds = {rounds}"))
    _json(path / "environment.json", {"fedlab": "0.1.0", "packages": {"numpy": np.__version__}})
    _json(path / "task.json", {"kind": "classification", "outputs": CLASSES})
    _json(path / "partition.json", _partition(held))
    weights = _federate(path, held, test, draw, rounds, step)
    _baselines(path, held, test, rounds, step)
    final = _test(weights, *test)
    matrix = confusion_matrix(test[1], _scores(weights, test[0]).argmax(1), labels=range(CLASSES))
    labels = [str(number) for number in range(CLASSES)]
    _json(path / "confusion.json", {"labels": labels, "matrix": matrix.tolist()})
    parameters = {"total": weights.size, "trained": weights.size, "travelling": weights.size}
    summary = {"status": "finished", "rounds": rounds, "test": final, "parameters": parameters}
    _json(path / "summary.json", summary)
    return path


def _federate(
    path: Path, held: list[Any], test: Any, draw: np.random.Generator, rounds: int, step: float
) -> np.ndarray:
    weights = np.zeros((held[0][0].shape[1] + 1, CLASSES))
    _append(path / "metrics.jsonl", {"round": 0, "test": _test(weights, *test)})
    for number in range(1, rounds + 1):
        cohort = sorted(draw.choice(CLIENTS, COHORT, replace=False).tolist())
        start = time.perf_counter()
        trained = [_train(weights, *held[client], 5, step) for client in cohort]
        middle = time.perf_counter()
        sizes = [len(held[client][0]) for client in cohort]
        weights = np.average(trained, axis=0, weights=sizes)
        losses, reached = [], []
        for client, own in zip(cohort, trained, strict=True):
            inputs, targets = held[client]
            loss, found = _test(own, inputs, targets)["loss"], _test(weights, inputs, targets)
            losses.append(loss)
            reached.append(found["accuracy"])
            line = {"round": number, "client": client, "examples": len(inputs)}
            _append(path / "clients.jsonl", {**line, "phase": "train", "loss": loss})
            _append(path / "clients.jsonl", {**line, "phase": "evaluate", **found})
        record = {
            "round": number,
            "test": _test(weights, *test),
            "seconds": {
                "train": middle - start,
                "evaluate": time.perf_counter() - middle,
                "total": time.perf_counter() - start,
            },
            "train": {"loss": describe(losses, higher_is_better=False)},
            "clients": {"accuracy": describe(reached, higher_is_better=True)},
            **{"cohort": COHORT, "replies": COHORT, "failures": 0},
            **{"bytes_down": COHORT * weights.nbytes, "bytes_up": COHORT * weights.nbytes},
        }
        _append(path / "metrics.jsonl", record)
    return weights


def _baselines(path: Path, held: list[Any], test: Any, rounds: int, step: float) -> None:
    pooled = [np.concatenate([part[column] for part in held]) for column in (0, 1)]
    weights = np.zeros((pooled[0].shape[1] + 1, CLASSES))
    for number in range(rounds + 1):
        line = {"baseline": "centralised", "round": number, "test": _test(weights, *test)}
        _append(path / "baselines.jsonl", line)
        weights = _train(weights, *pooled, 5, step)
    for client, (inputs, targets) in enumerate(held):
        alone = _train(np.zeros_like(weights), inputs, targets, 5 * rounds, step)
        line = {"client": client, "examples": len(inputs), "test": _test(alone, *test)}
        _append(path / "baselines.jsonl", {"baseline": "local", **line})


def _scores(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    scores = inputs @ weights[:-1] + weights[-1]
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _train(
    weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray, steps: int, step: float
) -> np.ndarray:
    extended = np.hstack([inputs, np.ones((len(inputs), 1))])
    for _ in range(steps):
        error = _scores(weights, inputs) - np.eye(CLASSES)[targets]
        weights = weights - step * extended.T @ error / len(inputs)
    return weights


def _test(weights: np.ndarray, inputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    shares = _scores(weights, inputs)
    return {
        "loss": float(log_loss(targets, shares, labels=range(CLASSES))),
        "accuracy": float(accuracy_score(targets, shares.argmax(1))),
        "macro_f1": float(f1_score(targets, shares.argmax(1), average="macro", zero_division=0)),
    }


def _dirichlet(targets: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    parts: list[list[int]] = [[] for _ in range(CLIENTS)]
    for label in range(CLASSES):
        rows = np.flatnonzero(targets == label)
        cuts = (np.cumsum(draw.dirichlet([0.3] * CLIENTS))[:-1] * len(rows)).astype(int)
        for part, piece in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(piece.tolist())
    return [np.array(part) for part in parts]


def _partition(held: list[Any]) -> dict[str, Any]:
    counts = [np.bincount(targets, minlength=CLASSES).tolist() for _, targets in held]
    sizes = [sum(row) for row in counts]
    return {
        "partitioner": "dirichlet",
        "clients": CLIENTS,
        "labels": [str(number) for number in range(CLASSES)],
        "sizes": sizes,
        "validation_sizes": [0] * CLIENTS,
        "counts": counts,
        "skew": {"size_gini": gini(sizes)},
    }


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
