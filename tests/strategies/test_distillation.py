"""FedDF against its paper's equation, worked by hand in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedlab.algorithm.public import PublicInputs
from fedlab.algorithm.vector_strategy import Reply
from fedlab.data.dataset import Examples
from fedlab.data.transforms import Preparation
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.network import Network
from strategies.feddf import FedDf, FedDfSettings, scores

INPUTS = np.array([[1.0, 2.0], [-1.0, 0.5], [0.5, -2.0], [3.0, 1.0]])
STEPS, RATE = 3, 0.1


def public(module: nn.Module, buffers: tuple[str, ...] = ()) -> PublicInputs:
    model = FlatModel(module, Layout.of(module, buffers))
    network = Network(model, "", None, None, 0, ())
    inputs = torch.tensor(INPUTS, dtype=torch.float32)
    examples = Examples(inputs, torch.zeros(len(inputs), dtype=torch.int64))
    return PublicInputs(network, examples, Preparation("tabular"), threads=1)


def feddf(inputs: PublicInputs, **keys: Any) -> FedDf:
    keys = {"distillation_steps": STEPS, "distillation_rate": RATE} | keys
    strategy = FedDf(FedDfSettings(**keys))
    strategy.layout = inputs.network.model.layout
    strategy.public = inputs
    return strategy


def reply(client: int, weight: float, weights: list[float]) -> Reply:
    return Reply(client, weight, np.array(weights, np.float32), {}, {})


def softmax(scores: Any) -> Any:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def linear(weights: Any) -> Any:
    """Return the scores of a linear model of two inputs and two outputs: matrix, then bias."""
    return INPUTS @ weights[:4].reshape(2, 2).T + weights[4:]


def distilled(student: Any, taught: Any) -> Any:
    """Return a linear student after Adam's steps on KL(taught ‖ student) over all inputs."""
    first, second = np.zeros(6), np.zeros(6)
    for step in range(STEPS):
        error = (softmax(linear(student)) - taught) / len(INPUTS)
        gradient = np.concatenate([(error.T @ INPUTS).ravel(), error.sum(axis=0)])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        student = student - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return student


def test_feddf_draws_the_mean_to_the_teachers_mean_scores() -> None:
    teachers = [[2.0, -1.0, 0.5, 0.3, 0.1, 0.0], [-0.5, 1.5, 1.0, -2.0, 0.0, 0.4]]
    strategy = feddf(public(nn.Linear(2, 2)))
    np.random.seed(0)
    new = strategy.step(1, np.zeros(6), [reply(2, 1.0, teachers[0]), reply(3, 3.0, teachers[1])])
    # The student begins as the mean over examples; teachers count alike, and by their scores.
    student = (np.array(teachers[0]) + 3 * np.array(teachers[1])) / 4
    taught = softmax((linear(np.array(teachers[0])) + linear(np.array(teachers[1]))) / 2)
    np.testing.assert_allclose(new, distilled(student, taught), rtol=1e-4)
    said = softmax(linear(student))
    divergence = (taught * np.log(taught / said)).sum(axis=1).mean()
    assert strategy.record()["divergence"][0] == pytest.approx(divergence, rel=1e-4)
    assert strategy.record()["divergence"][1] < divergence


def test_one_score_is_that_of_class_one_against_class_zero() -> None:
    outputs = torch.tensor([[0.3], [-2.0]])
    probability = 1 / (1 + np.exp(-outputs.numpy()))
    np.testing.assert_allclose(
        scores(outputs).softmax(1), np.hstack([1 - probability, probability]), rtol=1e-6
    )


def test_every_teacher_has_the_running_statistics_of_its_client() -> None:
    inputs = public(nn.Sequential(nn.BatchNorm1d(2, eps=0.0)), ("0.running_mean", "0.running_var"))
    # Scale and shift, then running mean and variance.
    wire = np.array([1.0, 2.0, 0.5, 0.0, 1.0, -1.0, 4.0, 0.25])
    rows = np.array([3, 0])
    expected = (INPUTS[rows] - [1.0, -1.0]) / np.sqrt([4.0, 0.25]) * [1.0, 2.0] + [0.5, 0.0]
    np.testing.assert_allclose(inputs.outputs(wire, rows), expected, rtol=1e-6)


def test_batches_go_through_the_public_examples_pass_by_pass() -> None:
    strategy = feddf(public(nn.Linear(2, 2)), distillation_steps=4, distillation_batch_size=2)
    batches = strategy._batches()
    assert batches.shape == (4, 2)
    for half in (batches[:2], batches[2:]):
        assert sorted(half.ravel()) == [0, 1, 2, 3]
    larger = feddf(public(nn.Linear(2, 2)), distillation_steps=3, distillation_batch_size=128)
    assert larger._batches().shape == (3, 4)
