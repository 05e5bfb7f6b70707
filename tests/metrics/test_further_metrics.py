"""Metrics that a scenario asks for equal scikit-learn's and torchmetrics', however cut."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torchmetrics.functional as reference
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.errors import FedlabError
from fedlab.metrics.evaluation import (
    Evaluation,
    known_for,
    names_of,
    reporting,
    undefined_metrics,
)
from fedlab.metrics.kinds import ranking
from fedlab.metrics.names import METRICS

NAMES = ("auroc", "accuracy", "auprc", "balanced_accuracy", "brier")
CUTS = ([0, 400], [0, 1, 399, 400], [0, 130, 131, 260, 400])


def classification(classes: int, names: tuple[str, ...] = NAMES) -> Task:
    return reporting(Task("classification", "tabular", (3,), classes), names)


def regression(outputs: int, names: tuple[str, ...] = ("r2", "mae")) -> Task:
    return reporting(Task("regression", "tabular", (3,), outputs), names)


def drawn(outputs: int, classes: int, ties: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores (400, outputs) and classes (400,) that go with them a little."""
    draw = torch.Generator().manual_seed(classes + outputs)
    targets = torch.randint(0, classes, (400,), generator=draw)
    scores = torch.randn(400, outputs, generator=draw)
    scores += torch.nn.functional.one_hot(targets, classes)[:, -outputs:] * 1.5
    return (scores.round() if ties else scores), targets


def measured(task: Task, scores: torch.Tensor, targets: torch.Tensor, cut: list[int]) -> dict:
    """Return the metrics of shards that are cut so and merged, each of two batches."""
    whole = Evaluation(task)
    for start, stop in pairwise(cut):
        shard = Evaluation(task)
        for rows in (slice(start, (start + stop) // 2), slice((start + stop) // 2, stop)):
            shard.update(scores[rows], targets[rows], 1.0, len(targets[rows]))
        whole.merge(shard.state())
    return whole.compute()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("outputs", [1, 2])
def test_metrics_of_two_classes_equal_scikit_learn(outputs, cut, ties):
    scores, targets = drawn(outputs, 2, ties)
    found = measured(classification(2 if outputs == 2 else 1), scores, targets, cut)
    odds = (scores[:, -1] - (scores[:, 0] if outputs == 2 else 0)).double()
    wanted, chance = targets.numpy(), odds.sigmoid().numpy()
    assert found["auroc"] == pytest.approx(roc_auc_score(wanted, chance))
    assert found["auprc"] == pytest.approx(average_precision_score(wanted, chance))
    assert found["brier"] == pytest.approx(brier_score_loss(wanted, chance))
    expected = balanced_accuracy_score(wanted, chance > 0.5)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert list(found) == ["loss", *NAMES]


@pytest.mark.parametrize("cut", CUTS)
def test_metrics_of_several_classes_equal_scikit_learn_and_torchmetrics(cut):
    scores, targets = drawn(4, 4)
    found = measured(classification(4), scores, targets, cut)
    chances = scores.double().softmax(1)
    expected = roc_auc_score(targets.numpy(), chances.numpy(), multi_class="ovr")
    assert found["auroc"] == pytest.approx(expected)
    area = reference.average_precision(chances, targets, task="multiclass", num_classes=4)
    assert found["auprc"] == pytest.approx(area.item(), rel=1e-5)
    one_hot = np.eye(4)[targets.numpy()]
    assert found["brier"] == pytest.approx(np.square(chances.numpy() - one_hot).sum(1).mean())
    expected = balanced_accuracy_score(targets.numpy(), chances.argmax(1).numpy())
    assert found["balanced_accuracy"] == pytest.approx(expected)


def test_shards_give_the_very_bits_of_the_whole():
    scores, targets = drawn(4, 4)
    first, *others = (measured(classification(4), scores, targets, cut) for cut in CUTS)
    for other in others:
        assert {n: first[n] for n in ("auroc", "auprc")} == {
            n: other[n] for n in ("auroc", "auprc")
        }


@pytest.mark.parametrize("cut", CUTS)
def test_memory_is_bounded_and_rounding_does_not_depend_on_the_cut(monkeypatch, cut):
    monkeypatch.setattr(ranking, "EXACT", 300)
    monkeypatch.setattr(ranking, "STEPS", 8)
    scores, targets = drawn(2, 2)
    task = classification(2, ("auroc",))
    found = measured(task, scores, targets, cut)["auroc"]
    odds = ((scores[:, 1] - scores[:, 0]).double() * 8).round().numpy()
    assert found == pytest.approx(roc_auc_score(targets.numpy(), odds))
    whole = Evaluation(task)
    for _ in range(20):
        whole.update(scores, targets, 1.0, 400)
    (kept,) = (sums for name, sums in whole.state().items() if name.endswith("scores"))
    assert len(kept) // 4 <= 2 * len(set(odds.tolist())) < 300
    assert whole.compute()["auroc"] == pytest.approx(found)


def test_what_one_class_does_not_define_is_left_out_and_marked_for_the_server():
    scores = torch.randn(20, 2)
    task = classification(2)
    found = measured(task, scores, torch.zeros(20, dtype=torch.long), [0, 20])
    assert set(found) == {"loss", "accuracy", "balanced_accuracy", "brier"}
    marked = undefined_metrics(task, found | {"global_accuracy": 1.0})
    expected = {"auroc", "auprc", *(f"global_{n}" for n in NAMES if n != "accuracy")}
    assert set(marked) == expected
    assert all(math.isnan(value) for value in marked.values())


@pytest.mark.parametrize("cut", CUTS)
def test_metrics_of_numbers_equal_scikit_learn(cut):
    draw = torch.Generator().manual_seed(4)
    targets = torch.randn(400, 2, generator=draw) * torch.tensor([1.0, 50.0]) + 1000
    outputs = targets + torch.randn(400, 2, generator=draw)
    found = measured(regression(2), outputs, targets, cut)
    assert found["r2"] == pytest.approx(r2_score(targets.numpy(), outputs.numpy()), rel=1e-6)
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, outputs), rel=1e-6)


def test_numbers_without_variance_have_no_r2():
    outputs = torch.randn(9, 1)
    assert "r2" not in measured(regression(1), outputs, torch.full((9, 1), 0.1), [0, 9])


def test_errors_in_units_are_multiplied_by_what_targets_were_divided_by():
    scaling = Scaling(("t",), (70.0,), (4.0,))
    task = Task(
        "regression",
        "tabular",
        (3,),
        1,
        metrics="regression-in-units",
        encoding=Encoding(targets=scaling),
    )
    outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.5], [4.0]])
    found = measured(task, outputs, targets, [0, 2])
    assert found["mae"] == pytest.approx((2 + 8) / 2)
    assert found["rmse"] == pytest.approx(math.sqrt((4 + 64) / 2))


def test_a_task_reports_what_is_asked_in_that_order():
    assert names_of(classification(2)) == ["loss", *NAMES]
    assert names_of(Task("classification", "tabular", (3,), 2)) == [
        "loss",
        "accuracy",
        "macro_f1",
        "calibration_error",
    ]


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        (
            "classification",
            "aurok",
            r"evaluation.metrics: unknown metric 'aurok'. Did you mean 'aur",
        ),
        ("regression", "auroc", r"unknown metric 'auroc'. .*\(the task is regression\)"),
        ("classification", "r2", r"unknown metric 'r2'"),
    ],
)
def test_a_metric_that_does_not_suit_is_refused(kind, name, sentence):
    with pytest.raises(FedlabError, match=sentence):
        reporting(Task(kind, "tabular", (3,), 2), [name])


def test_every_metric_that_may_be_asked_for_has_a_label():
    labelled = {metric.name for metric in METRICS}
    for kind in ("classification", "regression"):
        assert set(known_for(Task(kind, "tabular", (3,), 2))) <= labelled
