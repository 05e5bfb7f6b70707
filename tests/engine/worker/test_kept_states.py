"""What a client keeps is in one file of its run, whole, for itself alone."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlab.engine.worker.kept_states import KeptStates
from fedlab.errors import FedlabError
from fedlab.wire.protocol import CLIENT_STATE, KEPT_WITH, LAYOUT

RUN = "0123456789abcdef"


def state(value: float, layout: str = "") -> RecordDict:
    content = RecordDict({CLIENT_STATE: ArrayRecord({"own": Array(np.full(3, value, np.float32))})})
    if layout:
        content[KEPT_WITH] = ConfigRecord({LAYOUT: layout})
    return content


def value(kept: RecordDict) -> float:
    record = kept.array_records[CLIENT_STATE]
    return float(record["own"].numpy()[0])


def test_a_round_that_is_asked_again_finds_what_was_before_it(tmp_path: Path) -> None:
    states = KeptStates.of(tmp_path / "a.toml", RUN)
    for number in (1, 2, 3):
        states.save(number, state(float(number), "layout"))
    assert value(states.load(3, is_training=True)) == 2
    assert value(states.load(3, is_training=False)) == 3
    assert states.load(9, is_training=True)[KEPT_WITH][LAYOUT] == "layout"  # type: ignore[index]
    states.save(3, state(30.0))
    assert value(states.load(4, is_training=True)) == 30
    assert value(states.load(3, is_training=True)) == 2


def test_what_came_after_a_round_that_is_run_again_is_forgotten(tmp_path: Path) -> None:
    states = KeptStates.of(tmp_path / "a.toml", RUN)
    for number in (1, 2):
        states.save(number, state(float(number)))
    states.save(1, state(10.0))
    assert value(states.load(7, is_training=True)) == 10


def test_of_a_round_long_gone_nothing_is_kept(tmp_path: Path) -> None:
    states = KeptStates.of(tmp_path / "a.toml", RUN)
    for number in (4, 5, 6):
        states.save(number, state(float(number)))
    assert not len(states.load(2, is_training=True))


def test_a_client_that_keeps_nothing_has_no_file(tmp_path: Path) -> None:
    states = KeptStates.of(tmp_path / "a.toml", RUN)
    states.save(1, RecordDict())
    assert not states.path.exists()


@pytest.mark.parametrize("run", ["", "../../secret", "0123", "x" * 32])
def test_a_run_without_a_proper_key_reads_no_file(tmp_path: Path, run: str) -> None:
    with pytest.raises(FedlabError, match="names no run"):
        KeptStates.of(tmp_path / "a.toml", run)
