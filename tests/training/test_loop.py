"""The local loop against plain PyTorch over the same batches."""

from typing import Any

import pytest
import torch
from torch import nn

from fedlab.data.dataset import Examples, Task
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.network import Network
from fedlab.training.criterion import build_criterion
from fedlab.training.early_stopping import EarlyStopping, EarlyStoppingSettings
from fedlab.training.loop import Steps, clip, fit
from fedlab.training.task import LocalTask
from fedlab.training.terms import L1, L2, Objective, Proximal

TASK = Task("classification", "tabular", (4,), 3)


def module() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def data(count: int = 20) -> Examples:
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(count, 4, generator=generator)
    return Examples(inputs, torch.randint(0, 3, (count,), generator=generator))


def local_task(network_module: nn.Module, examples: Examples) -> LocalTask:
    model = FlatModel(network_module, Layout.of(network_module))
    network = Network(model, "2", None, None, 0, ())
    return LocalTask(
        client=0, round=1, rounds=1, network=network, wire=model.wire(), examples=examples,
        validation=data(5), arrays={}, config={}, state={}, task=TASK,
        generator=torch.Generator().manual_seed(3), prepare=lambda inputs: inputs,
    )  # fmt: skip


def steps(task: LocalTask, **keys: Any) -> Steps:
    return Steps(torch.optim.SGD([task.network.model.parameter], 0.1), 6, **keys)


def test_two_epochs_equal_plain_pytorch_with_penalties() -> None:
    task = local_task(module(), data())
    anchor = task.anchor.clone()
    objective = Objective(
        build_criterion("auto", TASK), [L1(0.01), L2(0.02), Proximal(0.3, anchor)]
    )
    fit(task, objective, steps(task, epochs=2))

    plain, examples = module(), data()
    start = [parameter.detach().clone() for parameter in plain.parameters()]
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        for rows in torch.randperm(20, generator=generator).split(6):
            loss = nn.functional.cross_entropy(plain(examples.inputs[rows]), examples.targets[rows])
            for parameter, first in zip(plain.parameters(), start, strict=True):
                loss = loss + 0.01 * parameter.abs().sum() + 0.01 * parameter.square().sum()
                loss = loss + 0.15 * (parameter - first).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    expected = torch.cat([parameter.detach().flatten() for parameter in plain.parameters()])
    torch.testing.assert_close(task.network.model.weights, expected)


def test_a_batch_term_is_differentiated_with_the_loss() -> None:
    task, doubled = local_task(module(), data()), local_task(module(), data())
    criterion = build_criterion("auto", TASK)
    fit(task, Objective(criterion, (), [lambda b: criterion(b.outputs, b.targets)]), steps(task))
    rate = Steps(torch.optim.SGD([doubled.network.model.parameter], 0.2), 6)
    fit(doubled, Objective(criterion), rate)
    torch.testing.assert_close(task.network.model.weights, doubled.network.model.weights)


def test_steps_instead_of_epochs_stop_in_the_middle_of_an_epoch() -> None:
    task = local_task(module(), data())
    assert fit(task, Objective(build_criterion("auto", TASK)), steps(task, limit=5)).steps == 5


def test_a_step_moves_no_further_than_rate_times_clipped_norm() -> None:
    task = local_task(module(), data())
    before = task.network.model.weights.clone()
    fit(task, Objective(build_criterion("auto", TASK)), steps(task, limit=1, clip_norm=0.01))
    assert (task.network.model.weights - before).norm().item() == pytest.approx(0.001, rel=1e-3)


def test_clipping_leaves_short_vectors_alone() -> None:
    vector = torch.tensor([0.3, 0.4])
    clip(vector, 1.0)
    torch.testing.assert_close(vector, torch.tensor([0.3, 0.4]))


def test_a_schedule_over_steps_scales_each_step() -> None:
    task = local_task(module(), data())
    seen: list[tuple[int, int]] = []

    def schedule(step: int, total: int) -> float:
        seen.append((step, total))
        return 0.0

    before = task.network.model.weights.clone()
    fit(task, Objective(build_criterion("auto", TASK)), steps(task, epochs=2, schedule=schedule))
    assert seen == [(step, 8) for step in range(8)]
    assert torch.equal(task.network.model.weights, before)


def test_early_stopping_puts_the_best_epoch_back() -> None:
    task = local_task(module(), data())
    values = iter([0.5, 0.3, 0.6, 0.7])
    best: list[torch.Tensor] = []

    def validate() -> float:
        value = next(values)
        if value == 0.3:
            best.append(task.network.model.weights.clone())
        return value

    stopping = EarlyStopping(EarlyStoppingSettings(metric="loss", patience=2))
    fitted = fit(
        task, Objective(build_criterion("auto", TASK)), steps(task, epochs=10), stopping, validate
    )
    assert fitted.epochs == 4
    assert torch.equal(task.network.model.weights, best[0])


def test_under_batch_norm_a_lone_last_example_joins_a_batch() -> None:
    normed = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    task = local_task(normed, data(13))
    assert fit(task, Objective(build_criterion("auto", TASK)), steps(task)).steps == 2
