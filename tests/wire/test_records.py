"""What is in Flower's records can be had without copies, and without cycles of references."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedlab.wire.records import LentArray, array_in_pieces, records_of, without_copying

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_lent_array_shares_memory_and_else_is_like_flowers() -> None:
    own, lent = Array(VALUES), LentArray(VALUES)
    assert np.shares_memory(without_copying(lent), VALUES)
    assert (lent.dtype, lent.shape, lent.stype) == (own.dtype, own.shape, own.stype)
    assert lent.data == own.data
    np.testing.assert_array_equal(lent.numpy(), VALUES)
    assert not np.shares_memory(lent.numpy(), VALUES)


def test_copies_of_a_lent_array_hold_their_own_bytes() -> None:
    lent = LentArray(VALUES)
    for other in (copy.deepcopy(lent), pickle.loads(pickle.dumps(lent))):
        assert type(other) is Array
        assert other.data == lent.data


def test_a_lent_array_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="colour"):
        _ = LentArray(VALUES).colour


@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_an_array_from_pieces_is_the_whole_to_the_byte(kind: str) -> None:
    whole = VALUES.astype(kind)
    made = array_in_pieces(whole.dtype, whole.shape, (piece for piece in VALUES))
    assert vars(made) == vars(Array(whole))


def test_records_by_kind_leave_no_garbage() -> None:
    content = RecordDict(
        {"a": ArrayRecord({"w": Array(VALUES)}), "m": MetricRecord(), "c": ConfigRecord()}
    )
    gone = weakref.ref(content)
    gc.disable()
    try:
        found = [list(records_of(content, k)) for k in (ArrayRecord, MetricRecord, ConfigRecord)]
        assert found == [["a"], ["m"], ["c"]]
        del content
        assert gone() is None
    finally:
        gc.enable()
