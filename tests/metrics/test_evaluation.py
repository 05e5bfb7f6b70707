"""Metrics equal scikit-learn's on the whole, however the examples were cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional
import torchmetrics.functional.text
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)

from fedlab.data.dataset import Task
from fedlab.metrics.contract import MetricSet, Sums
from fedlab.metrics.evaluation import Evaluation, names_of

CUTS = [(257,), (100, 157), (1, 250, 6), (64, 64, 64, 64, 1)]


def task(kind: str, outputs: int = 4) -> Task:
    return Task(kind, "tabular", (3,), outputs)


def scores(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 2


def classes(*shape: int, below: int = 4) -> torch.Tensor:
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(2))


def evaluated(
    posed: Task, outputs: torch.Tensor, targets: torch.Tensor, cut: tuple[int, ...], shards: bool
) -> Evaluation:
    """Evaluate in pieces of the given sizes: as batches of one worker, or as merged shards."""
    whole = Evaluation(posed)
    for piece, wanted in zip(outputs.split(list(cut)), targets.split(list(cut)), strict=True):
        part = Evaluation(posed) if shards else whole
        part.update(piece, wanted, 0.5 * len(piece), len(piece))
        if shards:
            whole.merge(part.state())
    return whole


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("cut", CUTS)
def test_classification_equals_scikit_learn_however_cut(cut: tuple[int, ...], shards: bool) -> None:
    outputs, targets = scores(257, 4), classes(257)
    evaluation = evaluated(task("classification"), outputs, targets, cut, shards)
    found, predicted = evaluation.compute(), outputs.argmax(1)
    assert found["loss"] == pytest.approx(0.5)
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert (evaluation.confusion().numpy() == confusion_matrix(targets, predicted)).all()


@pytest.mark.parametrize("cut", CUTS)
def test_reconstruction_equals_scikit_learn_however_cut(cut: tuple[int, ...]) -> None:
    outputs, targets = scores(257, 6), scores(257, 6).flip(0)
    posed = Task("reconstruction", "tabular", (6,), 6)
    found = evaluated(posed, outputs, targets, cut, True).compute()
    assert list(found) == names_of(posed) == ["loss", "rmse"]
    wanted = root_mean_squared_error(targets.flatten(), outputs.flatten())
    assert found["rmse"] == pytest.approx(wanted)


@pytest.mark.parametrize("cut", CUTS)
def test_calibration_error_is_the_gap_of_confidence_and_accuracy(
    cut: tuple[int, ...],
) -> None:
    outputs, targets = scores(257, 4), classes(257)
    confidence, predicted = outputs.double().softmax(1).max(1)
    correct = (predicted == targets).double().numpy()
    bins = np.clip(np.ceil(confidence.numpy() * 15).astype(int) - 1, 0, 14)
    gaps = [
        (bins == b).mean() * abs(correct[bins == b].mean() - confidence.numpy()[bins == b].mean())
        for b in np.unique(bins)
    ]
    found = evaluated(task("classification"), outputs, targets, cut, True).compute()
    assert found["calibration_error"] == pytest.approx(sum(gaps), abs=1e-6)


def test_calibration_takes_scores_between_0_and_1_for_scores() -> None:
    outputs = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    evaluation = Evaluation(task("classification", 2))
    evaluation.update(outputs, torch.tensor([0, 1]), 1.0, 2)
    confidence = outputs.double().softmax(1).max(1).values.mean().item()
    assert evaluation.compute()["calibration_error"] == pytest.approx(1 - confidence, abs=1e-6)


@pytest.mark.parametrize("cut", CUTS)
def test_regression_equals_scikit_learn(cut: tuple[int, ...]) -> None:
    outputs, targets = scores(257, 2), scores(257, 2).flip(0)
    found = evaluated(task("regression", 2), outputs, targets, cut, True).compute()
    assert found["rmse"] == pytest.approx(
        root_mean_squared_error(targets.flatten(), outputs.flatten())
    )
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, outputs))


@pytest.mark.parametrize("kind", ["next-token", "sequence-to-sequence", "tagging"])
def test_padded_positions_do_not_count(kind: str) -> None:
    outputs, targets = scores(40, 7, 4), classes(40, 7)
    targets[:, 5:] = -100
    targets[0] = -100
    found = evaluated(task(kind), outputs, targets, (1, 9, 30), True).compute()
    kept = targets.flatten() != -100
    wanted, given = targets.flatten()[kept], outputs.flatten(0, 1)[kept]
    assert found["accuracy"] == pytest.approx(accuracy_score(wanted, given.argmax(1)))
    if kind == "tagging":
        assert found["macro_f1"] == pytest.approx(
            f1_score(wanted, given.argmax(1), average="macro")
        )
    else:
        expected = math.exp(log_loss(wanted, given.double().softmax(1)))
        assert found["perplexity"] == pytest.approx(expected)


def test_next_token_takes_one_target_a_sequence() -> None:
    outputs, targets = scores(257, 4), classes(257)
    found = evaluated(task("next-token"), outputs, targets, (200, 57), False).compute()
    expected = math.exp(log_loss(targets, outputs.double().softmax(1)))
    assert found["perplexity"] == pytest.approx(expected)


def test_perplexity_survives_scores_that_underflow_in_float32() -> None:
    outputs = torch.tensor([[0.0, 200.0]])
    evaluation = Evaluation(task("next-token", 2))
    evaluation.update(outputs, torch.tensor([0]), 200.0, 1)
    assert evaluation.compute()["perplexity"] == pytest.approx(math.exp(200))


def test_a_single_score_decides_between_two_classes() -> None:
    evaluation = Evaluation(task("classification", 1))
    evaluation.update(torch.tensor([[-1.0], [2.0], [3.0]]), torch.tensor([0, 1, 0]), 1.0, 3)
    assert evaluation.compute()["accuracy"] == pytest.approx(2 / 3)
    assert evaluation.confusion().tolist() == [[1, 1], [0, 1]]


def test_merging_after_computing_still_counts() -> None:
    outputs, targets = scores(257, 4), classes(257)
    first = evaluated(task("classification"), outputs[:100], targets[:100], (100,), False)
    first.compute()
    second = evaluated(task("classification"), outputs[100:], targets[100:], (157,), False)
    first.merge(second.state())
    whole = evaluated(task("classification"), outputs, targets, (257,), False)
    assert first.compute() == pytest.approx(whole.compute())


def test_an_empty_part_changes_nothing() -> None:
    assert Evaluation(task("classification")).compute() == {}
    evaluation = evaluated(task("classification"), scores(50, 4), classes(50), (50,), False)
    before = evaluation.compute()
    evaluation.merge(Evaluation(task("classification")).state())
    assert evaluation.compute() == before


def test_a_loss_that_is_not_a_number_is_seen() -> None:
    evaluation = evaluated(task("classification"), scores(50, 4), classes(50), (50,), False)
    evaluation.update(scores(5, 4) * float("nan"), classes(5), float("nan"), 5)
    assert math.isnan(evaluation.compute()["loss"])


def test_only_classification_has_a_confusion_matrix() -> None:
    with pytest.raises(ValueError, match="regression task has no confusion matrix"):
        Evaluation(task("regression")).confusion()


def test_classification_equals_torchmetrics() -> None:
    outputs, targets = scores(257, 4), classes(257, below=3)
    found = evaluated(task("classification"), outputs, targets, (100, 157), True).compute()
    probabilities = outputs.double().softmax(1)
    options: Any = {"task": "multiclass", "num_classes": 4}
    assert found["accuracy"] == pytest.approx(
        torchmetrics.functional.accuracy(outputs, targets, **options).item()
    )
    assert found["macro_f1"] == pytest.approx(
        torchmetrics.functional.f1_score(outputs, targets, average="macro", **options).item()
    )
    expected = torchmetrics.functional.calibration_error(probabilities, targets, **options)
    assert found["calibration_error"] == pytest.approx(expected.item(), abs=1e-6)


def test_perplexity_equals_torchmetrics() -> None:
    outputs, targets = scores(31, 7, 4), classes(31, 7)
    found = evaluated(task("next-token"), outputs, targets, (30, 1), True).compute()
    expected = torchmetrics.functional.text.perplexity(outputs.double(), targets)
    assert found["perplexity"] == pytest.approx(expected.item())


class Worst(MetricSet):
    """The largest squared error of a batch, added up."""

    names = ("worst",)

    def sizes(self) -> dict[str, int]:
        return {"worst": 1}

    def count(self, outputs: torch.Tensor, targets: torch.Tensor) -> Sums:
        return {"worst": (outputs - targets).square().max().double().view(1)}

    def compute(self, sums: Sums) -> dict[str, float]:
        return {"worst": sums["worst"].item()}


def test_a_task_names_metrics_of_its_own() -> None:
    posed = Task("ranking", "tabular", (3,), 2, criterion="binary", metrics=f"{__name__}:Worst")
    evaluation = Evaluation(posed)
    evaluation.update(torch.tensor([[1.0, 4.0]]), torch.tensor([[0.0, 1.0]]), 0.5, 1)
    assert evaluation.compute() == {"loss": 0.5, "worst": 9.0}
    assert names_of(posed) == ["loss", "worst"]
    with pytest.raises(ValueError, match="a ranking task has no confusion matrix"):
        evaluation.confusion()
