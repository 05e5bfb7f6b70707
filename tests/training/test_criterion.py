from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.scenario.parts import load_dataset
from fedlab.training.criterion import balanced_weights, build_criterion
from tests.shared import scenario_with

CLASSES = Task("classification", "tabular", (2,), 3)
NUMBERS = Task("regression", "tabular", (2,), 1)


def test_sum_of_squares_is_half_the_squared_distance_per_example() -> None:
    outputs, targets = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [1.0]])
    assert build_criterion("sum-of-squares", NUMBERS)(outputs, targets).item() == pytest.approx(
        0.5 * (1 + 4) / 2
    )


def test_sum_of_squares_compares_classes_as_one_hot_vectors() -> None:
    outputs = torch.tensor([[0.2, 0.5, 0.1]])
    loss = build_criterion("sum-of-squares", CLASSES)(outputs, torch.tensor([1]))
    assert loss.item() == pytest.approx(0.5 * (0.2**2 + 0.5**2 + 0.1**2))


def test_binary_is_the_cross_entropy_of_each_sigmoid() -> None:
    outputs, targets = torch.tensor([[0.3], [-1.0]]), torch.tensor([[1.0], [0.0]])
    chance = 1 / (1 + np.exp(-np.array([0.3, -1.0])))
    expected = -(np.log(chance[0]) + np.log(1 - chance[1])) / 2
    assert build_criterion("binary", NUMBERS)(outputs, targets).item() == pytest.approx(expected)


def test_a_perceptron_criterion_step_is_the_perceptron_rule() -> None:
    weights = torch.tensor([[0.2, -0.4]], requires_grad=True)
    inputs, targets = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])
    build_criterion("perceptron", NUMBERS)(inputs @ weights.T, targets).backward()
    assert weights.grad is not None
    step_output = 0.0  # 0.2 - 0.4 < 0
    np.testing.assert_allclose(-weights.grad.numpy(), [[1.0 * (1 - step_output)] * 2])


def test_padding_counts_for_nothing() -> None:
    task = Task("next-token", "text", (3,), 4, vocabulary=4, padding=0)
    outputs = torch.randn(1, 3, 4)
    loss = build_criterion("auto", task)(outputs, torch.tensor([[2, 0, 0]]))
    expected = torch.nn.functional.cross_entropy(outputs[0, :1], torch.tensor([2]))
    assert loss.item() == pytest.approx(expected.item())


def test_label_smoothing_mixes_in_the_uniform_distribution() -> None:
    outputs = torch.tensor([[2.0, 0.0, -1.0]])
    chances = np.exp([2.0, 0.0, -1.0]) / np.exp([2.0, 0.0, -1.0]).sum()
    wanted = np.array([0.9, 0.0, 0.0]) + 0.1 / 3
    loss = build_criterion("cross-entropy", CLASSES, 0.1)(outputs, torch.tensor([0]))
    assert loss.item() == pytest.approx(-(wanted * np.log(chances)).sum())


def test_cross_entropy_on_regression_is_refused() -> None:
    with pytest.raises(FedlabError, match="sum-of-squares"):
        build_criterion("cross-entropy", NUMBERS)


def test_one_score_takes_the_cross_entropy_of_its_sigmoid() -> None:
    task = Task("classification", "tabular", (2,), 1)
    outputs, targets = torch.tensor([[0.3], [-1.0]]), torch.tensor([1, 0])
    chance = 1 / (1 + np.exp(-np.array([0.3, -1.0])))
    expected = -(np.log(chance[0]) + np.log(1 - chance[1])) / 2
    assert build_criterion("auto", task)(outputs, targets).item() == pytest.approx(expected)
    with pytest.raises(FedlabError, match="one output for both; 'binary' fits"):
        build_criterion("cross-entropy", task)


def test_mean_squared_error_is_a_mean_over_all_values() -> None:
    task = Task("reconstruction", "tabular", (3,), 3)
    outputs, targets = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.0, 2.0, 1.0]])
    loss = build_criterion("auto", task)(outputs, targets)
    assert loss.item() == pytest.approx((1 + 0 + 4) / 3)


def test_mean_squared_error_compares_classes_as_one_hot_vectors() -> None:
    outputs = torch.tensor([[0.2, 0.5, 0.1]])
    loss = build_criterion("mean-squared-error", CLASSES)(outputs, torch.tensor([1]))
    assert loss.item() == pytest.approx((0.2**2 + 0.5**2 + 0.1**2) / 3)


def test_cross_entropy_on_a_reconstruction_is_refused() -> None:
    task = Task("reconstruction", "tabular", (3,), 3)
    with pytest.raises(FedlabError, match=r"needs classes.*'mean-squared-error' fits it"):
        build_criterion("cross-entropy", task)


def test_a_loss_of_pytorchs_is_a_criterion() -> None:
    outputs, targets = torch.tensor([[1.0], [5.0]]), torch.tensor([[0.5], [1.0]])
    loss = build_criterion("torch.nn:HuberLoss", NUMBERS)(outputs, targets)
    assert loss.item() == pytest.approx((0.5 * 0.5**2 + (4 - 0.5)) / 2)
    scores = torch.tensor([[2.0, 0.0, -1.0]])
    margin = build_criterion("torch.nn:MultiMarginLoss", CLASSES)(scores, torch.tensor([1]))
    assert margin.item() == pytest.approx((1 + 2) / 3)


def test_a_class_that_is_no_loss_is_refused() -> None:
    with pytest.raises(FedlabError, match="'builtins:dict' is neither a Criterion nor a loss"):
        build_criterion("builtins:dict", CLASSES)


IMBALANCED = replace(CLASSES, class_counts=(60, 30, 10))


def test_balanced_weights_are_scikit_learns() -> None:
    classes = np.repeat([0, 1, 2], IMBALANCED.class_counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    np.testing.assert_allclose(balanced_weights(IMBALANCED.class_counts), expected, rtol=1e-6)
    np.testing.assert_allclose(balanced_weights((6, 0, 2)), [4 / 6, 1, 4 / 2], rtol=1e-6)


def test_class_weights_multiply_each_examples_cross_entropy() -> None:
    outputs, targets = torch.randn(7, 3), torch.tensor([0, 0, 1, 2, 2, 1, 0])
    weighed = build_criterion("cross-entropy", IMBALANCED, 0.0, True)
    each = torch.nn.functional.cross_entropy(outputs, targets, reduction="none")
    weights = balanced_weights(IMBALANCED.class_counts)[targets]
    assert weighed(outputs, targets).item() == pytest.approx((each * weights).mean().item())
    # So batches add up to the whole.
    halves = 3 * weighed(outputs[:3], targets[:3]) + 4 * weighed(outputs[3:], targets[3:])
    assert halves.item() / 7 == pytest.approx(weighed(outputs, targets).item())


def test_class_weights_multiply_the_cross_entropy_of_one_score() -> None:
    task = Task("classification", "tabular", (2,), 1, class_counts=(90, 10))
    outputs, targets = torch.tensor([[0.3], [-1.0]]), torch.tensor([1, 0])
    chance = 1 / (1 + np.exp(-np.array([0.3, -1.0])))
    expected = -(np.log(chance[0]) * 100 / 20 + np.log(1 - chance[1]) * 100 / 180) / 2
    found = build_criterion("auto", task, 0.0, True)(outputs, targets)
    assert found.item() == pytest.approx(expected)


def test_class_weights_go_with_cross_entropy_alone() -> None:
    with pytest.raises(FedlabError, match=r"client.class_weights: they go with cross-entropy"):
        build_criterion("sum-of-squares", IMBALANCED, 0.0, True)


def test_a_scenario_weighs_classes_by_the_training_examples_of_all_clients() -> None:
    scenario = scenario_with(client={"class_weights": "balanced"})
    dataset = load_dataset(scenario)
    counts = torch.bincount(dataset.train.targets).tolist()
    assert dataset.task.class_counts == tuple(counts)
    assert load_dataset(scenario_with()).task.class_counts == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"name": "diabetes"}, "this data set's task is regression"),
        (
            {"name": "synthetic-population", "partition": {"name": "natural", "clients": None}},
            "made client by client",
        ),
    ],
)
def test_class_weights_need_classes_that_can_be_counted(data, reason) -> None:
    scenario = scenario_with(data=data, client={"class_weights": "balanced"})
    with pytest.raises(FedlabError, match=rf"client.class_weights: .*{reason}"):
        load_dataset(scenario)
