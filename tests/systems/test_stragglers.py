"""Stragglers: who is slow, what becomes of their work, and that it depends on the seed alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from clients.fedprox import FedProx
from fedlab.errors import FedlabError
from fedlab.run.callbacks import Callback
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask
from tests.shared import scenario_with

EPOCHS, RATE, MU = 5, 0.2, 0.7
BASE: dict[str, Any] = {
    "rounds": 1,
    "seed": 3,
    "data": {"name": "iris", "validation": 0.0, "partition": {"clients": 6}},
    "model": {"name": "linear"},
    "client": {
        "name": "fedprox",
        "epochs": EPOCHS,
        "batch_size": 1000,
        "optimizer": {"lr": RATE},
        "stragglers": {"fraction": 0.5},
    },
    "strategy": {"name": "fedprox", "proximal_mu": MU},
}


def scenario_of(*overrides: str) -> Scenario:
    return scenario_with(BASE, *overrides)


def run_in(folder: Path, *overrides: str) -> RunFolder:
    found = RunFolder.create(folder, "stragglers", scenario_of(*overrides))
    run(found)
    return found


def weights_of(folder: RunFolder) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    tensors = load_file(folder.path / "model.safetensors")
    return tensors["head.weight"], tensors["head.bias"]


def test_partial_work_is_averaged_like_any_other(tmp_path: Path) -> None:
    """FedProx (Li et al. 2020), Algorithm 2, by hand: softmax regression, full batches."""
    start = run_in(tmp_path, "client.optimizer.lr=0.0")
    folder = run_in(tmp_path)
    steps = {line["client"]: int(line["steps"]) for line in folder.lines("clients.jsonl")}
    assert sum(number < EPOCHS for number in steps.values()) in (1, 2, 3)
    federation = load_federation(folder.scenario)
    total, sums = 0, [0.0, 0.0]
    for client, number in steps.items():
        examples = federation.examples(client)[0]
        inputs, targets = examples.inputs.numpy().astype(np.float64), examples.targets.numpy()
        reached = descend(
            *(w.astype(np.float64) for w in weights_of(start)), inputs, targets, number
        )
        sums = [s + len(targets) * w for s, w in zip(sums, reached, strict=True)]
        total += len(targets)
    for ours, wanted in zip(weights_of(folder), sums, strict=True):
        np.testing.assert_allclose(ours, wanted / total, rtol=1e-4, atol=1e-6)


def descend(
    weight: Any, bias: Any, inputs: Any, targets: Any, steps: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    anchor = weight, bias
    for _ in range(steps):
        scores = inputs @ weight.T + bias
        chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        chances[np.arange(len(targets)), targets] -= 1
        chances /= len(targets)
        weight, bias = (
            weight - RATE * (chances.T @ inputs + MU * (weight - anchor[0])),
            bias - RATE * (chances.sum(0) + MU * (bias - anchor[1])),
        )
    return weight, bias


def test_the_same_clients_are_slow_whether_dropped_or_not(tmp_path: Path) -> None:
    partial = run_in(tmp_path, "rounds=4")
    dropping = run_in(tmp_path, "rounds=4", "client.stragglers.drop=true")
    everyone = set(range(6))
    seen = set()
    for number in range(1, 5):
        lines = [line for line in partial.lines("clients.jsonl") if line["round"] == number]
        slow = {line["client"] for line in lines if line["steps"] < EPOCHS}
        answered = [line for line in dropping.lines("clients.jsonl") if line["round"] == number]
        assert all(line["steps"] == EPOCHS for line in answered)
        dropped = everyone - {line["client"] for line in answered}
        assert len(dropped) == 3
        assert slow <= dropped
        seen.add(frozenset(dropped))
    assert len(seen) > 1
    kept, left = (list(f.lines("metrics.jsonl"))[-1] for f in (partial, dropping))
    assert (kept["cohort"], kept["replies"], kept.get("dropped")) == (6, 6, None)
    assert (left["cohort"], left["replies"], left["dropped"]) == (6, 3, 3)
    assert left["bytes_down"] == kept["bytes_down"]
    assert left["bytes_up"] == kept["bytes_up"] / 2


def test_stacked_stragglers_reach_the_plain_loops_weights(tmp_path: Path) -> None:
    small = ("rounds=2", "client.batch_size=7", "client.optimizer.momentum=0.5")
    stacked = run_in(tmp_path, *small)
    plain = run_in(tmp_path, *small, "engine.vectorised=false")
    told = [json.loads((f.path / "summary.json").read_text())["engine"] for f in (stacked, plain)]
    assert told[0]["vectorised"] is True
    assert told[1]["vectorised"] == "engine.vectorised is false"
    steps = [[(line["client"], line["steps"]) for line in f.lines("clients.jsonl")]
             for f in (stacked, plain)]  # fmt: skip
    assert steps[0] == steps[1]
    for ours, wanted in zip(weights_of(stacked), weights_of(plain), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)


class OwnLoop(FedProx):
    """A client that trains in its own way."""

    def fit(self, task: LocalTask) -> Fit:
        return super().fit(task)


class Kill(Callback):
    def round_ended(self, rounds: Any, outcome: Any) -> None:
        if outcome.round == 2:
            raise SystemExit


@pytest.mark.parametrize("drop", ["false", "true"])
def test_the_same_bits_after_a_resume_and_on_ray(tmp_path: Path, drop: str) -> None:
    keys = ("rounds=4", "strategy.fraction_train=0.8", f"client.stragglers.drop={drop}")
    digest = digest_of(run_in(tmp_path, *keys))
    assert digest_of(run_in(tmp_path, *keys, 'engine = {name = "ray", workers = 2}')) == digest
    broken = RunFolder.create(tmp_path, "broken", scenario_of(*keys))
    with pytest.raises(SystemExit):
        run(broken, [Kill()])
    run(broken)
    assert digest_of(broken) == digest


def test_stragglers_clip_like_the_others(tmp_path: Path) -> None:
    strategy = {
        "name": "dp-client-fixed-clipping",
        "proximal_mu": None,
        "noise_multiplier": 0.0,
        "clipping_norm": 0.1,
        "num_sampled_clients": 6,
    }
    scenario = scenario_with(
        BASE,
        client={"name": "supervised"},
        strategy=strategy,
        updates=[{"name": "fixed-clipping"}],
    )
    folder = RunFolder.create(tmp_path, "clipped", scenario)
    run(folder)
    _, last = folder.lines("metrics.jsonl")
    assert (last["replies"], last["failures"]) == (6, 0)


def digest_of(folder: RunFolder) -> str:
    return str(json.loads((folder.path / "summary.json").read_text())["weights_sha256"])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["client.epochs=1"], "set epochs to 2 or more and leave out steps"),
        (["client.steps=3"], "set epochs to 2 or more and leave out steps"),
        (["client.stragglers.fraction=1.0"], "client.stragglers.fraction"),
        (
            ["client.stragglers={fraction=0.9, drop=true}", "strategy.fraction_train=0.5"],
            "0.9 of a cohort of 3 leaves nobody",
        ),
        ([f'client.name="{__name__}:OwnLoop"'], "has a training loop of its own"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, overrides: list[str], sentence: str
) -> None:
    with pytest.raises(FedlabError, match=sentence):
        run_in(tmp_path, *overrides)
