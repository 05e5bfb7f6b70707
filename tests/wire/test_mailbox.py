"""Sums left in shared memory come back as they were, and where they do not fit Ray carries them."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedlab.wire import mailbox
from fedlab.wire.mailbox import Mailbox, Slot, leave
from fedlab.wire.sums import WeightedSum

WEIGHTS, FURTHER = ("arrays", "weights"), ("variates", "weights")
LOSS = ("metrics", "train_loss")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that stands for shared memory."""
    monkeypatch.setattr(mailbox, "SHARED_MEMORY", tmp_path)
    return tmp_path


def total(length: int = 5, clients: int = 2) -> WeightedSum:
    added = WeightedSum()
    for client in range(1, clients + 1):
        weights = np.linspace(0, client, length, dtype=np.float32)
        added.add(client, {WEIGHTS: weights, FURTHER: weights[:3]}, {LOSS: 0.5})
    return added


def slots(box: Mailbox, count: int = 2, size: int = 4096) -> list[Slot]:
    found = box.slots(count, size)
    assert all(slot is not None for slot in found)
    return [slot for slot in found if slot is not None]


def arrays_of(added: WeightedSum) -> dict[tuple[str, str], bytes]:
    return {name: array.tobytes() for name, array in added.arrays.items()}


@pytest.mark.parametrize("clients", [1, 2])
def test_a_sum_left_in_a_slot_is_collected_bit_for_bit(shared: Path, clients: int) -> None:
    box = Mailbox()
    first, second = slots(box)
    other = leave(total(7), second)
    left = leave(total(5, clients), first)
    assert left is not None
    assert other is not None
    assert left.total.arrays == {}
    collected = left.collect()
    whole = total(5, clients)
    assert arrays_of(collected) == arrays_of(whole)
    assert arrays_of(other.collect()) == arrays_of(total(7))
    mean, wanted = collected.mean(), whole.mean()
    assert mean.metric_records["metrics"] == wanted.metric_records["metrics"]
    box.close()


def test_what_is_collected_is_read_only_and_joins_larger_sums(shared: Path) -> None:
    box = Mailbox()
    left = leave(total(), slots(box)[0])
    assert left is not None
    collected = left.collect()
    with pytest.raises(ValueError, match="read-only"):
        collected.arrays[WEIGHTS][0] = 1
    collected.merge(total())
    twice = total()
    twice.merge(total())
    assert arrays_of(collected) == arrays_of(twice)
    box.close()


def test_a_sum_that_does_not_fit_stays_whole(shared: Path) -> None:
    box = Mailbox()
    added = total(5000)
    assert leave(added, slots(box, 1, 4096)[0]) is None
    assert arrays_of(added) == arrays_of(total(5000))
    box.close()


def test_where_the_mailbox_is_not_to_be_had_a_sum_stays_whole(tmp_path: Path) -> None:
    added = total()
    assert leave(added, Slot(str(tmp_path / "elsewhere"), 0, 4096)) is None
    assert arrays_of(added) == arrays_of(total())


def test_slots_are_kept_while_they_suffice_and_then_remade(shared: Path) -> None:
    box = Mailbox()
    first = slots(box, 3, 4096)
    assert slots(box, 2, 1000) == first[:2]
    larger = slots(box, 2, 8192)
    assert larger[0].path != first[0].path
    assert [slot.start for slot in larger] == [0, 8192]
    assert len(list(shared.iterdir())) == 1
    box.close()
    assert list(shared.iterdir()) == []


def test_without_enough_shared_memory_there_are_no_slots(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Mailbox().slots(2, mailbox.MOST_BYTES) == [None, None]

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mailbox.tempfile, "mkstemp", full)
    assert Mailbox().slots(1, 10) == [None]
    assert list(shared.iterdir()) == []


def test_only_what_a_killed_process_left_is_removed(
    shared: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale = shared / f"{mailbox.PREFIX}{gone.pid}-x"
    held = shared / f"{mailbox.PREFIX}{os.getppid()}-x"
    foreign = shared / "another-program's"
    for path in (stale, held, foreign):
        path.touch()
    box = Mailbox()
    slots(box)
    assert not stale.exists()
    assert held.exists()
    assert foreign.exists()
    box.close()
