"""What clients keep: in memory while it is little, in files as it grows."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import load_file

from fedlab.engine.client_states import ClientStates
from fedlab.errors import FedlabError
from fedlab.wire.archive import write_arrays
from fedlab.wire.records import without_copying

VALUES = 1000
ONE = 4 * VALUES


def state(value: float) -> RecordDict:
    arrays = ArrayRecord({"c": Array(np.full(VALUES, value, np.float32))})
    return RecordDict({"client-state": arrays, "config": ConfigRecord({"value": value})})


def value_of(states: ClientStates, client: int) -> float:
    found = states.get(client)
    array = found.array_records["client-state"]["c"].numpy()
    assert array.dtype == np.float32
    assert set(array.tolist()) == {found.config_records["config"]["value"]}
    return float(array[0])


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_little_stays_in_memory(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    states.put(3, state(1.0))
    assert value_of(states, 3) == 1.0
    assert len(states) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_keeps_nothing_costs_nothing() -> None:
    states = ClientStates()
    states.put(3, RecordDict())
    assert len(states) == 0
    assert len(states.get(3)) == 0


def test_what_a_client_gives_up_is_gone_after_a_checkpoint_too(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    states.put(3, state(1.0))
    states.save()
    states.put(3, RecordDict())
    again = ClientStates(tmp_path)
    again.restore(states.save())
    assert len(states.get(3)) == len(again.get(3)) == 0


def test_more_than_fits_goes_into_files_and_comes_back(tmp_path: Path) -> None:
    states = ClientStates(tmp_path, most_bytes=5 * ONE)
    for client in range(40):
        states.put(client, state(client + 0.5))
        assert states._bytes <= 5 * ONE
        assert states._bytes == sum(ONE + 128 for _ in states._held)
    assert len(states) == 40
    assert [value_of(states, client) for client in range(40)] == [c + 0.5 for c in range(40)]
    assert len(states._held) <= 5


def test_files_without_a_folder_are_removed_in_the_end() -> None:
    states = ClientStates(most_bytes=ONE)
    for client in range(4):
        states.put(client, state(client))
    assert states._folder is not None
    folder = states._folder
    assert list(folder.iterdir())
    del states
    assert not folder.exists()


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    for client in range(50):
        states.put(client, state(client))
    first = states.save()
    states.put(7, state(99.0))
    second = states.save()
    assert first == second[:1]
    assert (tmp_path / second[1]).stat().st_size < 2 * ONE
    assert states.save() == second


def test_each_checkpoint_keeps_the_states_of_its_round(tmp_path: Path) -> None:
    draw = random.Random(5)
    states = ClientStates(tmp_path, most_bytes=6 * ONE)
    expected: dict[int, float] = {}
    saved: list[tuple[tuple[str, ...], dict[int, float]]] = []
    for number in range(40):
        for client in draw.sample(range(30), 5):
            expected[client] = number + client / 64
            states.put(client, state(expected[client]))
        saved.append((states.save(), dict(expected)))
    for files, values in saved:
        again = ClientStates(tmp_path, most_bytes=6 * ONE)
        again.restore(files)
        assert {client: value_of(again, client) for client in values} == values
        assert len(again) == len(values)


def test_a_restored_store_overwrites_no_file_of_a_lost_round(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    states.put(1, state(1.0))
    files = states.save()
    states.put(1, state(2.0))
    states.save()
    again = ClientStates(tmp_path)
    again.restore(files)
    assert value_of(again, 1) == 1.0
    again.put(1, state(3.0))
    later = ClientStates(tmp_path)
    later.restore(again.save())
    assert value_of(later, 1) == 3.0


def test_files_take_about_twice_the_room_of_the_states_at_most(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    draw = random.Random(1)
    for number in range(100):
        for client in draw.sample(range(60), 10):
            states.put(client, state(number))
        named = states.save()
        for path in tmp_path.iterdir():
            if path.name not in named:
                path.unlink()
        assert bytes_in(tmp_path) < 2.3 * 60 * ONE
    assert all(2 * states._live[n] >= states._written[n] for n in states._live)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    states = ClientStates(tmp_path)
    states.put(1, state(1.0))
    (name,) = states.save()
    (tmp_path / name).write_bytes(b"\x08")
    with pytest.raises(FedlabError, match=f"{name}, which holds what clients keep, cannot be read"):
        ClientStates(tmp_path).restore([name])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float64).reshape(2, 3).T,
        np.zeros((2, 0), np.float32),
        np.array(3, np.int64),
        np.ones(3, np.bool_),
        np.arange(5, dtype=np.uint8)[::2],
        np.array([1.5], np.float16),
    ],
)
def test_arrays_come_back_as_the_library_reads_them(tmp_path: Path, array: Any) -> None:
    write_arrays(tmp_path / "x.safetensors", {"before": np.zeros(3, np.int8), "it": array})
    found = load_file(tmp_path / "x.safetensors")["it"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_arrays_that_the_format_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="complex128"):
        write_arrays(tmp_path / "x.safetensors", {"it": np.ones(1, np.complex128)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5, dtype=np.float32),
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.zeros(0, np.float32),
        np.array(2.5),
    ],
)
def test_a_messages_array_is_read_where_it_lies(values: Any) -> None:
    array = Array(values)
    found = without_copying(array)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    np.testing.assert_array_equal(found, array.numpy())
