"""Examples that do not fit on the device are moved batch by batch, one ahead, to the same bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fedlab.copying import moved_ahead
from fedlab.data import on_device
from fedlab.data.dataset import Examples, Selection
from fedlab.data.on_device import MovedExamples
from fedlab.training import batches
from tests.devices.strict import counted, used
from tests.devices.test_worker import ON_DEVICE, after_a_round

pytestmark = pytest.mark.usefixtures("strict")
STRICT = torch.device("privateuseone:0")


@pytest.fixture
def too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no examples fit on a device, and no epoch be prepared at once."""
    monkeypatch.setattr(on_device, "_free", lambda device: 1)
    monkeypatch.setattr(batches, "MOST_BYTES_PREPARED", 1)


def test_the_copy_of_the_next_is_begun_before_the_present_one_is_worked_on() -> None:
    made: list[int] = []

    def each() -> Iterator[torch.Tensor]:
        for number in range(3):
            made.append(number)
            yield torch.full((2,), float(number))

    found = moved_ahead(each(), STRICT)
    assert made == []
    for number in range(3):
        moved = next(found)
        assert moved.device == STRICT
        assert moved.cpu().tolist() == [number, number]
        assert made == list(range(min(number + 2, 3)))
    assert next(found, None) is None


def test_one_ahead_and_no_more_is_on_the_device() -> None:
    before = used()
    size = 1000 * 4
    for _ in moved_ahead((torch.ones(1000) for _ in range(10)), STRICT):
        assert used() - before <= 2 * size
    assert list(moved_ahead([], STRICT)) == []


def test_a_selection_asks_for_its_own_rows() -> None:
    whole = Examples(torch.arange(20.0).view(10, 2), torch.arange(10))
    rows = np.array([7, 2, 5, 0])
    wanted = [torch.tensor([3, 0]), slice(1, 3)]
    for found in (whole.select(rows), Selection(MovedExamples(whole, STRICT), rows)):
        inputs = [part.cpu() for part in found.each_inputs(iter(wanted))]
        assert torch.equal(inputs[0], whole.inputs[[0, 7]])
        assert torch.equal(inputs[1], whole.inputs[[2, 5]])
        with counted() as copies:
            assert found.targets.cpu().tolist() == [7, 2, 5, 0]
        # Its inputs stay where they are.
        assert copies[0].bytes_to_device <= 8 * (4 + 10)


def test_a_part_is_not_moved_as_a_whole() -> None:
    whole = Examples(torch.arange(4000.0).view(1000, 4), torch.arange(1000))
    with counted() as copies:
        part = MovedExamples(whole, STRICT).part(100, 900)
        assert len(part) == 800
        assert torch.equal(next(part.each_inputs([slice(0, 2)])).cpu(), whole.inputs[100:102])
    assert copies[0].bytes_to_device < 100
    assert torch.equal(part.targets.cpu(), whole.targets[100:900])


@pytest.mark.parametrize("stacked", [False, "auto"])
@pytest.mark.usefixtures("too_many")
def test_a_run_reaches_the_bits_of_the_cpu(stacked: bool | str) -> None:
    changes = {
        "engine": {"vectorised": stacked},
        "data": {"validation": 0.2},
        "evaluation": {"federated": True},
        "client": {"epochs": 2, "batch_size": 16},
    }
    assert torch.equal(after_a_round(ON_DEVICE, changes), after_a_round(changes))
