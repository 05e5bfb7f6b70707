"""Examples in a file are what the same examples in memory are, and are read when looked at."""

import pickle

import numpy as np
import pytest
import torch

from fedlab.data.content import examples_digest
from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.data.federation import Federation
from fedlab.data.mapped import MappedExamples, RowFile
from fedlab.data.partition import Partition
from fedlab.errors import EngineFault, FedlabError

COUNT = 37


@pytest.fixture
def both(tmp_path):
    """Return the same examples in a file, in another order there, and in memory."""
    draw = np.random.default_rng(3)
    stored = draw.integers(0, 256, (50, 3, 4, 4), np.uint8)
    path = tmp_path / "x.rows"
    path.write_bytes(stored.tobytes())
    rows = np.sort(draw.permutation(50)[:COUNT])
    targets = torch.arange(COUNT) % 5
    groups = np.arange(COUNT) % 3
    names = ("a", "b", "c")
    file = RowFile(str(path), stored.shape, "digest")
    mapped = MappedExamples(file, rows, targets, groups, names)
    return mapped, Examples(torch.from_numpy(stored[rows]), targets, groups, names)


def same(mapped: Examples, plain: Examples) -> None:
    assert torch.equal(mapped.inputs, plain.inputs)
    assert torch.equal(mapped.targets, plain.targets)
    assert (mapped.groups is None) == (plain.groups is None)
    if plain.groups is not None:
        assert np.array_equal(mapped.groups, plain.groups)
    assert mapped.group_names == plain.group_names
    assert len(mapped) == len(plain)


def test_rows_in_any_order_are_those_in_memory(both):
    mapped, plain = both
    same(mapped, plain)
    for rows in ([5, 4, 4, 36, 0], [1, 2, 3, 4], [], [7]):
        index = torch.tensor(rows, dtype=torch.int64)
        assert torch.equal(mapped.inputs_at(index), plain.inputs_at(index))
        same(mapped.take(index), plain.take(index))
        same(mapped.take(index).take(index[:0]), plain.take(index[:0]))
    assert torch.equal(mapped.inputs_at(slice(3, 90)), plain.inputs_at(slice(3, 90)))
    assert torch.equal(torch.cat([*mapped.blocks(10)]), plain.inputs)
    same(mapped.in_memory(), plain)
    same(mapped.without_groups(), plain.without_groups())
    assert isinstance(mapped.in_memory(), Examples)
    assert not isinstance(mapped.in_memory(), MappedExamples)


def test_taking_rows_reads_no_inputs(both):
    mapped, _ = both
    some = mapped.take(np.arange(20)).take(np.arange(5))
    assert isinstance(some, MappedExamples)
    assert "inputs" not in some.__dict__


def test_a_selection_knows_its_rows_and_gathers_once(both):
    mapped, plain = both
    rows = np.array([9, 3, 30])
    chosen = mapped.select(rows)
    same(Examples(chosen.inputs, chosen.targets), Examples(plain.inputs[rows], plain.targets[rows]))
    whole, places = chosen.located()
    assert whole is mapped
    assert places.tolist() == rows.tolist()
    assert chosen.inputs is chosen.inputs


def test_neighbouring_rows_are_mapped_and_not_copied(both):
    mapped, plain = both
    start = int(np.flatnonzero(np.diff(mapped.rows) == 1)[0])
    pair = mapped.take(np.arange(start, start + 2))
    assert torch.equal(pair.inputs, plain.inputs[start : start + 2])
    assert not pair.inputs.untyped_storage().resizable()


def test_digests_are_those_of_examples_in_memory(both):
    mapped, plain = both
    assert examples_digest(mapped) == examples_digest(plain)
    assert examples_digest(mapped.take(np.arange(9))) != examples_digest(plain)


def test_a_pickled_federation_carries_the_files_name_and_not_its_rows(both):
    mapped, plain = both
    task = Task("classification", "image", (3, 4, 4), 5)
    partition = Partition.of([np.arange(20), np.arange(20, COUNT)])
    federation = Federation(Dataset(task, mapped, mapped.take(np.arange(4))), partition, 0.1, 0)
    again = pickle.loads(pickle.dumps(federation))
    assert isinstance(again.dataset.train, MappedExamples)
    same(again.dataset.train, plain)
    whole = pickle.loads(pickle.dumps(federation.in_memory()))
    assert not isinstance(whole.dataset.train, MappedExamples)
    same(whole.dataset.test, plain.take(np.arange(4)))


def test_a_file_that_is_cut_off_or_gone_is_a_sentence(both, tmp_path):
    mapped, _ = both
    mapped.inputs_at(slice(1))
    (tmp_path / "x.rows").write_bytes(b"short")
    with pytest.raises(EngineFault, match=r"x\.rows is cut off; remove it"):
        mapped.inputs_at(slice(9))
    gone = MappedExamples(RowFile(str(tmp_path / "none"), (9, 2), ""), np.arange(3), torch.ones(3))
    with pytest.raises(FedlabError, match=r"none cannot be read: .*made anew"):
        gone.inputs_at(slice(1))
