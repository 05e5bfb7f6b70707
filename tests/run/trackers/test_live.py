"""Figures wait for a tracker that is away, and a run does not."""

import logging
from pathlib import Path

import pytest

from fedlab.results.scalars import Scalar
from fedlab.run.trackers.live import Outbox, sweep_of
from fedlab.scenario.changes import leaves


def test_what_could_not_be_sent_is_sent_with_the_next_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Scalar] = []
    away = [False, True, True, False]

    def send(scalars: list[Scalar]) -> None:
        if away.pop(0):
            raise ConnectionError("no route to the server")
        sent.extend(scalars)

    outbox = Outbox("The tracker", send)
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            outbox.add({"round": number, "test": {"accuracy": number / 10, "loss": None}})
    assert sent == [("test/accuracy", number / 10, number) for number in range(4)]
    assert caplog.text.count("cannot be reached (ConnectionError: no route to the server)") == 1


def test_a_scenarios_values_have_dotted_keys() -> None:
    table = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 3}, {"e": 4}]}
    assert leaves(table) == {"a.b": 1, "a.c": [1, 2], "d.0.e": 3, "d.1.e": 4}


def test_a_member_of_a_sweep_knows_it(tmp_path: Path) -> None:
    run = tmp_path / "mine" / "runs" / "one"
    run.mkdir(parents=True)
    assert sweep_of(run) == ""
    (tmp_path / "mine" / "sweep.json").write_text("{}")
    assert sweep_of(run) == "mine"
