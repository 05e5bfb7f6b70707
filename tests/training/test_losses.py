"""The mean of steps' losses."""

from __future__ import annotations

import pytest
import torch

from fedlab.training import losses
from fedlab.training.losses import MeanLoss


@pytest.mark.parametrize("pending", [1, 3, 1024])
def test_it_is_the_sum_in_double_precision_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, pending: int
) -> None:
    monkeypatch.setattr(losses, "MOST_PENDING", pending)
    values = torch.rand(10, generator=torch.Generator().manual_seed(0)) * 1e3
    mean, total, seen = MeanLoss(), 0.0, 0
    for number, value in enumerate(values, start=1):
        mean.add(value, number)
        total += value.item() * number
        seen += number
    assert mean.value() == total / seen
    mean.add(torch.tensor(2.0), 1)
    assert mean.value() == (total + 2.0) / (seen + 1)


def test_it_keeps_no_graph() -> None:
    mean = MeanLoss()
    weight = torch.ones(1, requires_grad=True)
    mean.add((weight * 2).sum(), 4)
    assert all(not loss.requires_grad for loss in mean._pending)
    assert mean.value() == 2.0


def test_without_steps_it_is_zero() -> None:
    assert MeanLoss().value() == 0.0
