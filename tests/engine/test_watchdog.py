"""The watchdog names clients that take much longer than their fellows."""

import time
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from fedlab.engine import watchdog
from fedlab.engine.watchdog import Watchdog
from fedlab.wire import flower_internals


class Day:
    """A clock that is set by hand, and what the watchdog said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.dog = Watchdog(self.said.append, lambda: self.now)

    def passes(self, block: int, seconds: float, examples: int = 10) -> None:
        self.dog.began(block, [block], examples)
        self.now += seconds
        self.dog.ended(block)


def messages(phase: str = "train", server_round: int = 3) -> list[Message]:
    flower_internals.assume_identity()
    config: Any = ConfigRecord({"server-round": server_round})
    return [Message(RecordDict({"config": config}), 2, phase)]


def test_a_block_that_takes_much_longer_is_named_once() -> None:
    day = Day()
    with day.dog.watching(messages()):
        for block in range(3):
            day.passes(block, 4.0)
        day.dog.began(3, [7, 9], 10)
        day.now += 11.9
        day.dog.look()
        assert day.said == []
        day.now += 0.2
        day.dog.look()
        day.dog.look()
    (sentence,) = day.said
    assert sentence.startswith("round 3, train: clients 7, 9 at work for 12 s, where 4.0 s are")


@pytest.mark.parametrize(
    ("fellows", "seconds", "examples"),
    [
        (2, 60.0, 10),  # too few to hold it against
        (3, 4.9, 10),  # too short a time to speak of
        (3, 25.0, 100),  # ten times the examples
    ],
)
def test_no_block_is_named_without_reason(fellows: int, seconds: float, examples: int) -> None:
    day = Day()
    with day.dog.watching(messages()):
        for block in range(fellows):
            day.passes(block, 1.0)
        day.dog.began(9, [9], examples)
        day.now += seconds
        day.dog.look()
    assert day.said == []


def test_fellows_are_of_all_rounds_but_of_the_same_phase() -> None:
    day = Day()
    with day.dog.watching(messages("train")):
        for block in range(4):
            day.passes(block, 1.0)
    for phase in ("evaluate", "train"):
        with day.dog.watching(messages(phase, 4)):
            day.dog.began(0, range(12), 10)
            day.now += 6
            day.dog.look()
    (sentence,) = day.said
    assert sentence.startswith("round 4, train: clients 0, 1, 2, 3, 4, 5, 6, 7 and 4 more at work")


def test_another_phase_of_the_run_is_compared_with_none_before_it() -> None:
    day = Day()
    with day.dog.watching(messages()):
        for block in range(4):
            day.passes(block, 0.4)
    day.dog.begin_phase()
    with day.dog.watching(messages("train", 4)):
        day.dog.began(0, [0], 10)
        day.now += 6
        day.dog.look()
        assert day.said == []
        for block in range(1, 5):
            day.passes(block, 1.0)
        day.dog.look()
    assert len(day.said) == 1


def test_it_looks_by_itself_while_clients_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "SECONDS_BETWEEN_LOOKS", 0.01)
    day = Day()
    with day.dog.watching(messages()):
        for block in range(3):
            day.passes(block, 1.0)
        day.dog.began(3, [3], 10)
        day.now += 20
        deadline = time.monotonic() + 5
        while not day.said and time.monotonic() < deadline:
            time.sleep(0.01)
    day.dog.close()
    assert day.said
