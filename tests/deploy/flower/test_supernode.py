from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from fedlab.deploy.flower.supernode import ShorterSleeps, Waits, shorten_sleeps


def test_waits_grow_with_the_time_since_something_was_there_between_their_bounds() -> None:
    now = [0.0]
    waits = Waits(0.1, 2.0, clock=lambda: now[0])
    seconds = []
    for at in (0.0, 1.0, 10.0, 1000.0):
        now[0] = at
        seconds.append(waits.seconds)
    assert seconds == [0.1, 0.1, 0.5, 2.0]
    waits.reset()
    assert waits.seconds == 0.1


def test_sleeps_are_shorter_and_never_longer_than_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    shorter: Any = ShorterSleeps(Waits(0.1, 2.0, clock=lambda: 0.0))
    for seconds in (3, 0.5, 0.01):
        shorter.sleep(seconds)
    assert slept == [0.1, 0.02, 0.01]
    assert shorter.monotonic is time.monotonic


def test_a_loop_asks_often_again_once_there_was_a_message() -> None:
    there: list[Any] = [None, 7]
    client = SimpleNamespace(
        _pull_and_store_message=lambda: there.pop(0), _push_messages=lambda: None, time=time
    )
    shorten_sleeps(client)
    waits = client.time._waits
    waits._latest -= 1000
    assert client._pull_and_store_message() is None
    assert waits.seconds == 2.0
    assert client._pull_and_store_message() == 7
    assert waits.seconds == 0.1
