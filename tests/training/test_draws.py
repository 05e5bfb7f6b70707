"""Draws: what a batch holds, and that the loop trains and evaluates on it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from fedlab.data.dataset import Examples, Task
from fedlab.data.transforms import AugmentationSettings, build_augmentation
from fedlab.errors import FedlabError
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.network import Network
from fedlab.training.criterion import Criterion, build_criterion
from fedlab.training.draw import build_draw, merged, parted
from fedlab.training.evaluation import evaluate
from fedlab.training.gradient import gradient_received
from fedlab.training.loop import Steps, fit
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch, Objective

PICTURES = Task("reconstruction", "image", (1, 4, 4), 16)
LABELLED = Task("classification", "image", (1, 4, 4), 3)


class Contrast(Criterion):
    """NT-Xent at temperature 1/2 (Chen et al. 2020, equation 1)."""

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert outputs.shape[:2] == (2, len(targets))
        codes = functional.normalize(outputs.flatten(0, 1), dim=1)
        scores = (codes @ codes.T / 0.5).fill_diagonal_(-torch.inf)
        others = torch.cat([targets + len(targets), targets])
        return functional.cross_entropy(scores, others)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


VIEWS = Task(
    "contrastive",
    "image",
    (1, 4, 4),
    8,
    criterion=f"{__name__}:Contrast",
    metrics="regression",
    draw="two-views",
)


def pictures(count: int = 12) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(2))


def local_task(task: Task, augment: Any = None, targets: torch.Tensor | None = None) -> LocalTask:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, task.outputs))
    model = FlatModel(module, Layout.of(module))
    examples = Examples(pictures(), torch.zeros(12).long() if targets is None else targets)
    return LocalTask(
        client=0, round=1, rounds=1, network=Network(model, "3", None, None, 0, ()),
        wire=model.wire(), examples=examples, validation=examples, arrays={}, config={}, state={},
        task=task, generator=torch.Generator().manual_seed(3), prepare=lambda inputs: inputs,
        augment=augment,
    )  # fmt: skip


def steps(task: LocalTask, **keys: Any) -> Steps:
    return Steps(torch.optim.SGD([task.network.model.parameter], 0.1), 5, **keys)


def flips(task: Task) -> Any:
    return build_augmentation(AugmentationSettings(flip=True), task)


def test_a_labelled_batch_is_inputs_and_targets_as_they_are() -> None:
    draw, inputs, targets = build_draw(LABELLED), pictures(), torch.arange(12)
    drawn = draw(inputs, targets)
    assert drawn[0] is inputs
    assert drawn[1] is targets
    assert draw.is_plain


def test_an_augmented_labelled_batch_is_the_augmentations() -> None:
    inputs, targets = pictures(), torch.arange(12)
    drawn = build_draw(LABELLED)(inputs, targets, flips(LABELLED), torch.Generator().manual_seed(4))
    wanted = flips(LABELLED)(inputs, targets, torch.Generator().manual_seed(4))
    assert torch.equal(drawn[0], wanted[0])
    assert not torch.equal(drawn[0], inputs)


def test_a_reconstructions_targets_are_its_inputs_as_augmented() -> None:
    draw, nothing = build_draw(PICTURES), torch.empty(12, 0)
    inputs, targets = draw(pictures(), nothing, flips(PICTURES), torch.Generator().manual_seed(4))
    assert not torch.equal(inputs, pictures())
    assert torch.equal(targets, inputs.flatten(1))
    assert not draw.is_plain


def test_two_views_are_augmented_apart() -> None:
    generator = torch.Generator().manual_seed(4)
    views, numbers = build_draw(VIEWS)(pictures(), torch.zeros(12), flips(VIEWS), generator)
    assert views.shape == (2, 12, 1, 4, 4)
    assert numbers.tolist() == list(range(12))
    assert not torch.equal(views[0], views[1])
    for view in views:
        mirrored = (view == pictures().flip(-1)).flatten(1).all(1)
        assert (mirrored | (view == pictures()).flatten(1).all(1)).all()


def test_views_are_merged_for_a_model_and_parted_again() -> None:
    views = torch.randn(2, 5, 3, 4)
    assert torch.equal(merged(views, 2), torch.cat([views[0], views[1]]))
    assert torch.equal(parted(merged(views, 2), 2), views)
    assert merged(views, 1) is views


def test_an_unknown_draw_is_named() -> None:
    with pytest.raises(FedlabError, match=r"unknown draw 'two-veiws'\. Did you mean 'two-views'"):
        build_draw(Task("regression", "tabular", (2,), 1, draw="two-veiws"))


def test_a_reconstruction_is_trained_as_plain_pytorch_would() -> None:
    task = local_task(PICTURES)
    loss = fit(task, Objective(build_criterion("auto", PICTURES)), steps(task, epochs=2)).loss

    plain = local_task(PICTURES).network.model.module
    optimizer, losses = torch.optim.SGD(plain.parameters(), 0.1), []
    generator = torch.Generator().manual_seed(3)
    for _ in range(2):
        for rows in torch.randperm(12, generator=generator).split(5):
            error = plain(pictures()[rows]) - pictures()[rows].flatten(1)
            value = error.square().mean()
            losses.append(value.item() * len(rows))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    expected = torch.cat([parameter.detach().flatten() for parameter in plain.parameters()])
    torch.testing.assert_close(task.network.model.weights, expected)
    assert loss == pytest.approx(sum(losses) / 24)


def test_stored_targets_have_no_say_in_a_reconstruction() -> None:
    ends = []
    for targets in (torch.zeros(12).long(), torch.arange(12)):
        task = local_task(PICTURES, flips(PICTURES), targets)
        criterion = build_criterion("auto", PICTURES)
        fit(task, Objective(criterion), steps(task))
        measured = evaluate(task.network, task.examples, PICTURES, task.prepare, criterion)
        ends.append((task.network.model.weights.clone(), measured.compute()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_a_reconstruction_is_evaluated_value_by_value() -> None:
    task = local_task(PICTURES)
    criterion = build_criterion("auto", PICTURES)
    found = evaluate(task.network, task.examples, PICTURES, task.prepare, criterion, 5).compute()
    with torch.no_grad():
        error = task.network.model.module(pictures()) - pictures().flatten(1)
    assert list(found) == ["loss", "rmse"]
    assert found["loss"] == pytest.approx(error.square().mean().item())
    assert found["rmse"] == pytest.approx(found["loss"] ** 0.5)


def test_the_received_gradient_is_of_the_drawn_batches() -> None:
    task = local_task(PICTURES)
    criterion = build_criterion("auto", PICTURES)
    found = gradient_received(task, Objective(criterion), 5)
    module = local_task(PICTURES).network.model.module
    (module(pictures()) - pictures().flatten(1)).square().mean().backward()
    expected = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected)


def test_two_views_are_trained_apart_by_a_contrastive_loss() -> None:
    task = local_task(VIEWS, flips(VIEWS))
    criterion = Contrast(VIEWS)
    seen: list[Batch] = []

    def note(batch: Batch) -> torch.Tensor:
        seen.append(batch)
        return torch.zeros(())

    fitted = fit(task, Objective(criterion, (), [note]), steps(task, epochs=20))
    first, last = seen[0], seen[-1]
    assert first.outputs.shape == (2, 5, 8)
    assert first.representations.shape == (2, 5, 6)
    assert fitted.steps == len(seen) == 60
    assert criterion(last.outputs, last.targets) < criterion(first.outputs, first.targets)


def test_a_tasks_criterion_may_be_anybodys() -> None:
    assert type(build_criterion("auto", VIEWS)).__name__ == "Contrast"
