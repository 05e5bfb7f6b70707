"""The best round by the clients' validation parts, its weights, and who may choose it."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fedlab.engine.reports import Report
from fedlab.errors import FedlabError
from fedlab.run.best import BestWeights
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import assemble
from fedlab.run.validation import validation_means
from fedlab.scenario.parts import load_federation
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.shared import scenario_with

# A rate so large that the weights of some round in the middle are the best.
BASE: dict[str, Any] = {
    "rounds": 7,
    "seed": 5,
    "data": {"validation": 0.2, "partition": {"name": "dirichlet", "clients": 4, "alpha": 0.5}},
    "model": {"name": "mlp", "hidden": [16]},
    "client": {"batch_size": 8, "optimizer": {"lr": 0.8, "momentum": 0.5}},
    "evaluation": {"federated": True},
}
RESTORE = "[evaluation.early_stopping]\non = 'validation'\nmetric = 'accuracy'\npatience = 9\n"


def made(folder: Path, *changes: Any) -> RunFolder:
    found = RunFolder.create(folder, "run", scenario_with(BASE, *changes))
    run(found)
    return found


def summary(folder: RunFolder) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder.path / "summary.json").read_text())
    return content


class Remember(Callback):
    """Keeps every round's weights."""

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        self.weights[outcome.round] = run.weights.clone()


class Stop(Exception):
    pass


class StopAfter(Callback):
    def __init__(self, number: int) -> None:
        self.number = number

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        if outcome.round == self.number:
            raise Stop


def test_the_file_holds_the_weights_of_the_round_with_the_best_weighted_mean(
    tmp_path: Path,
) -> None:
    folder, remember = RunFolder.create(tmp_path, "run", scenario_with(BASE)), Remember()
    rounds = run(folder, [remember])
    means = {}
    for number in range(1, 8):
        lines = [
            line
            for line in folder.lines("clients.jsonl")
            if line["round"] == number and line["phase"] == "evaluate"
        ]
        total = sum(line["examples"] for line in lines)
        means[number] = sum(line["accuracy"] * line["examples"] for line in lines) / total
    best = max(means, key=lambda number: means[number])
    found = summary(folder)["best_by_validation"]
    assert (found["round"], found["metric"]) == (best, "accuracy")
    assert found["value"] == pytest.approx(means[best])
    assert best < 7, "the last round shall not be the best: then nothing is shown"
    line = next(line for line in folder.lines("metrics.jsonl") if line["round"] == best)
    assert line["validation"]["accuracy"] == pytest.approx(means[best])
    network = assemble(folder.scenario, load_federation(folder.scenario)).network
    network.model.reset(remember.weights[best])
    for name, tensor in load_file(folder.path / "best.safetensors").items():
        assert torch.equal(tensor, network.model.module.state_dict()[name])
    assert torch.equal(rounds.weights, remember.weights[7])
    evaluated = evaluate_trained(load_trained(folder.path, best=True)).compute()
    assert evaluated == pytest.approx(line["test"], rel=1e-6)
    assert evaluated == pytest.approx(found["test"], rel=1e-6)


@pytest.mark.parametrize(
    ("means", "best"),
    [
        ([(0.5, 1.0), (0.75, 0.9), (0.75, 0.8), (0.75, 0.85)], 3),
        ([(0.75, 0.8), (0.75, 0.8)], 1),
        ([(0.75, 0.8), (0.5, 0.1)], 1),
        ([(0.75, math.nan), (0.75, 5.0), (0.75, math.nan)], 2),
        ([(0.75, None), (0.75, None)], 1),
    ],
)
@pytest.mark.parametrize("resumed_after", [None, 1, 2, 3])
def test_of_rounds_with_equal_accuracy_the_lower_loss_is_better(
    tmp_path: Path,
    means: list[tuple[float, float | None]],
    best: int,
    resumed_after: int | None,
) -> None:
    class View:
        weights = torch.zeros(3)

    folder = RunFolder.create(tmp_path, "run", scenario_with(BASE))
    watching = BestWeights(folder)
    for number, (accuracy, loss) in enumerate(means, 1):
        View.weights = torch.full((3,), float(number))
        measured = {"accuracy": accuracy} | ({} if loss is None else {"loss": loss})
        watching.round_ended(cast(RunView, View), RoundOutcome(number, {"validation": measured}))
        if number == resumed_after:
            state = json.loads(json.dumps(watching.state()))
            watching = BestWeights(folder)
            watching.restore(state)
    assert watching.best is not None
    assert watching.best.round == best
    assert torch.equal(cast(torch.Tensor, watching.weights()), torch.full((3,), float(best)))


@pytest.mark.parametrize("stops", [(1, 3), (5,), (6,)])
def test_stopped_and_resumed_the_best_weights_are_the_same_bits(
    tmp_path: Path, stops: tuple[int, ...]
) -> None:
    whole = made(tmp_path)
    folder = RunFolder.create(tmp_path, "part", scenario_with(BASE))
    for number in stops:
        with pytest.raises(Stop):
            run(RunFolder.open(folder.path), [StopAfter(number)])
    run(RunFolder.open(folder.path))
    for name in ("best.safetensors", "model.safetensors"):
        assert (folder.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert summary(folder)["best_by_validation"] == summary(whole)["best_by_validation"]


def test_from_the_checkpoint_before_the_best_is_the_one_until_then(tmp_path: Path) -> None:
    import shutil

    whole = made(tmp_path)
    folder = RunFolder.create(tmp_path, "part", scenario_with(BASE))
    with pytest.raises(Stop):
        run(folder, [StopAfter(3)])
    shutil.rmtree(folder.checkpoints / "round-00003")
    run(RunFolder.open(folder.path))
    assert (folder.path / "best.safetensors").read_bytes() == (
        whole.path / "best.safetensors"
    ).read_bytes()
    named = {path.name for path in folder.best_weights.iterdir()}
    assert len(named) <= 3
    assert f"round-{summary(whole)['best_by_validation']['round']:05d}.safetensors" in named


def test_a_longer_run_forgets_the_old_end_and_keeps_the_best_so_far(tmp_path: Path) -> None:
    whole, short = made(tmp_path), made(tmp_path, {"rounds": 5})
    before = summary(short)["best_by_validation"]
    run(RunFolder(short.path, scenario_with(BASE), written=short.scenario))
    assert summary(short)["best_by_validation"] == summary(whole)["best_by_validation"]
    assert before["round"] <= 5
    assert (short.path / "best.safetensors").read_bytes() == (
        whole.path / "best.safetensors"
    ).read_bytes()


def test_restored_the_model_is_the_best_and_the_summary_is_of_it(tmp_path: Path) -> None:
    plain = made(tmp_path)
    folder = made(tmp_path, RESTORE + "restore_best = true")
    model = (folder.path / "model.safetensors").read_bytes()
    assert model == (plain.path / "best.safetensors").read_bytes()
    assert model == (folder.path / "best.safetensors").read_bytes()
    found = summary(folder)
    best = found["best_by_validation"]
    assert best["restored"]
    assert not summary(plain)["best_by_validation"]["restored"]
    line = next(line for line in folder.lines("metrics.jsonl") if line["round"] == best["round"])
    assert found["test"] == line["test"]
    assert found["clients"]["accuracy"] == line["clients"]["accuracy"]["mean"]
    matrix = np.array(json.loads((folder.path / "confusion.json").read_text())["matrix"])
    assert matrix.trace() / matrix.sum() == pytest.approx(line["test"]["accuracy"])
    evaluated = evaluate_trained(load_trained(folder.path)).compute()
    assert evaluated == pytest.approx(found["test"], rel=1e-6)


def test_a_restored_run_goes_on_from_its_last_round(tmp_path: Path) -> None:
    whole = made(tmp_path, RESTORE + "restore_best = true")
    short = made(tmp_path, RESTORE + "restore_best = true", {"rounds": 5})
    run(RunFolder(short.path, whole.scenario, written=short.scenario))
    assert (short.path / "model.safetensors").read_bytes() == (
        whole.path / "model.safetensors"
    ).read_bytes()


def test_early_stopping_watches_the_validation_parts(tmp_path: Path) -> None:
    stopping = "[evaluation.early_stopping]\non = 'validation'\nmetric = 'loss'\npatience = 1\n"
    folder = made(tmp_path, stopping, {"rounds": 30})
    losses = [line["validation"]["loss"] for line in folder.lines("metrics.jsonl") if line["round"]]
    rose = next(i for i in range(1, len(losses)) if losses[i] >= min(losses[:i]))
    assert len(losses) == rose + 1 < 30
    found = summary(folder)
    assert found["status"] == "stopped"
    assert found["best_by_validation"]["metric"] == "loss"
    assert found["best_by_validation"]["value"] == min(losses)


def test_clients_with_test_parts_are_judged_by_their_validation_parts(tmp_path: Path) -> None:
    folder = made(tmp_path, {"data": {"client_test": 0.3}, "rounds": 2})
    federation = load_federation(folder.scenario)
    line = list(folder.lines("metrics.jsonl"))[-1]
    lines = [
        line
        for line in folder.lines("clients.jsonl")
        if line["round"] == 2 and line["phase"] == "evaluate"
    ]
    sizes = [federation.part_sizes(line["client"])[1] for line in lines]
    mean = np.average([line["validation_accuracy"] for line in lines], weights=sizes)
    assert line["validation"]["accuracy"] == pytest.approx(mean)
    # What is said of clients is still of their test parts.
    assert [line["examples"] for line in lines] == [
        federation.part_sizes(line["client"])[2] for line in lines
    ]
    assert line["clients"]["accuracy"]["mean"] == pytest.approx(
        np.mean([line["accuracy"] for line in lines])
    )
    assert line["validation"]["accuracy"] != line["clients"]["accuracy"]["mean"]


def test_without_federated_evaluation_nothing_is_kept(tmp_path: Path) -> None:
    folder = made(tmp_path, {"evaluation": {"federated": False}, "rounds": 2})
    assert not (folder.path / "best.safetensors").exists()
    assert not folder.best_weights.exists()
    assert "best_by_validation" not in summary(folder)
    with pytest.raises(FedlabError, match=r"^--best: .* evaluation.federated = true"):
        load_trained(folder.path, best=True)


def test_switched_off_it_keeps_nothing(tmp_path: Path) -> None:
    folder = made(tmp_path, {"evaluation": {"keep_best": False}, "rounds": 2})
    assert not (folder.path / "best.safetensors").exists()
    assert not folder.best_weights.exists()


def test_reports_of_other_models_and_phases_do_not_count() -> None:
    federation = load_federation(scenario_with(BASE))
    reports = [
        Report(0, "train", 90, {"train_loss": 9.0, "steps": 3.0}, 0),
        Report(0, "evaluate", 10, {"loss": 1.0, "seconds": 2.0, "global_loss": 7.0}, 0),
        Report(1, "evaluate", 30, {"loss": 2.0, "seconds": 2.0, "global_loss": 7.0}, 0),
        Report(2, "evaluate", 0, {}, 0),
    ]
    assert validation_means(reports, federation) == {"loss": pytest.approx(1.75)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("restore_best = true\non = 'test'", "restore_best: weights that were chosen by the test"),
        ("on = 'validation'\n[evaluation]\nfederated = false", "set evaluation.federated = true"),
        ("on = 'validation'\n[data]\nvalidation = 0", "data.validation"),
        (
            "on = 'validation'\nrestore_best = true\n[evaluation]\nkeep_best = false",
            "keep_best: early_stopping.restore_best returns to the weights",
        ),
    ],
)
def test_what_cannot_choose_is_refused(change: str, sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        assemble(scenario_with(BASE, f"[evaluation.early_stopping]\npatience = 2\n{change}"))


def test_the_models_are_as_readable_as_other_files_and_say_what_they_are(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = made(tmp_path, {"rounds": 1, "title": "Digits, naïve"})
    finally:
        os.umask(before)
    for name in ("model.safetensors", "best.safetensors", "summary.json"):
        assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o640
    with safe_open(folder.path / "model.safetensors", "pt") as file:
        about = file.metadata()
    assert about["title"] == "Digits, naïve"
    assert json.loads(about["labels"]) == [str(digit) for digit in range(10)]
    assert json.loads(about["task"]) == json.loads((folder.path / "task.json").read_text())
    described = json.loads(about["preprocessing"])
    assert described["inputs"]["shape"] == ["batch", 1, 8, 8]
    assert described["outputs"]["are"] == "logits"
