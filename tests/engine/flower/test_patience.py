"""A grid that is lost is given up; one that is only slow is waited for."""

import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest
from flwr.app import Message

from fedlab.engine.flower.patience import PatientGrid
from fedlab.errors import EngineFault


class Slow:
    """A grid whose pulls take a while, and whose other calls may hang."""

    def __init__(self, hangs: bool) -> None:
        self._hangs = hangs

    def get_node_ids(self) -> Iterable[int]:
        if self._hangs:
            threading.Event().wait(30)
        return [1]

    def pull_messages(self, identifiers: Iterable[str]) -> Iterable[Message]:
        time.sleep(0.5)
        return []


def test_a_grid_that_answers_something_is_waited_for() -> None:
    grid: Any = Slow(hangs=False)
    assert PatientGrid(grid, 0.1).pull(["a"]) == []


def test_a_grid_that_answers_nothing_is_given_up() -> None:
    grid: Any = Slow(hangs=True)
    start = time.monotonic()
    with pytest.raises(EngineFault, match="has not answered for 0 s"):
        PatientGrid(grid, 0.1).pull(["a"])
    assert time.monotonic() - start < 5
