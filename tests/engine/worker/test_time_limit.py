"""A client that hangs is stopped, reported and left out; the run continues."""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clients.supervised import Supervised
from fedlab.algorithm.client import ClientSettings
from fedlab.engine.worker.time_limit import ClientTimeout, TimeLimit
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.training.task import LocalTask
from fedlab.training.terms import ParameterTerm
from tests.shared import scenario_with


class Sleeper(Supervised):
    """Client 4 falls asleep in round 1."""

    Settings = ClientSettings

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        if (task.client, task.round) == (4, 1):
            self.hang()
        return super().parameter_terms(task)

    def hang(self) -> None:
        time.sleep(60)


class SlowJudge(Supervised):
    """Client 4 never finds out how good the model of round 1 is."""

    Settings = ClientSettings

    def evaluate(self, task: LocalTask) -> dict[str, float]:
        if (task.client, task.round) == (4, 1):
            self.hang()
        return super().evaluate(task)

    def hang(self) -> None:
        time.sleep(60)


class Deaf(Sleeper):
    """Client 4 is lost in native code that holds Python's lock and looks at no signal."""

    def hang(self) -> None:
        sum(range(10**12))


def failed(folder: Path, client: str = "Sleeper", changes: str = "") -> dict[str, Any]:
    scenario = scenario_with(
        {"rounds": 2, "data": {"name": "iris", "partition": {"clients": 6}}},
        changes,
        model={"name": "linear"},
        client={"name": f"{__name__}:{client}"},
        engine={"client_timeout": 1.0},
    )
    run_folder = RunFolder.create(folder, "hang", scenario)
    assert run(run_folder).status == "finished"
    lines = [line for line in run_folder.lines("metrics.jsonl") if line["round"]]
    assert [line["failures"] for line in lines] == [1, 0]
    (failure,) = run_folder.lines("failures.jsonl")
    assert (failure["round"], failure["client"]) == (1, 4)
    return failure


WAYS = {
    "stacked": {},
    "apart": {"changes": "engine.vectorised = false"},
    "individual replies": {"changes": 'strategy.name = "fedmedian"'},
    "in evaluation": {"client": "SlowJudge", "changes": "evaluation.federated = true"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_hangs_is_stopped_on_every_path(tmp_path: Path, way: str) -> None:
    failure = failed(tmp_path, **WAYS[way])
    assert failure["phase"] == ("evaluate" if way == "in evaluation" else "train")
    assert failure["reason"] == "the client took longer than engine.client_timeout (1 s)"
    assert "in hang" in failure["traceback"]
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0


def test_a_worker_stuck_in_native_code_is_ended_and_others_run(tmp_path: Path) -> None:
    engine = 'engine = {name = "ray", workers = 2, vectorised = 3}'
    failure = failed(tmp_path, "Deaf", engine)
    assert failure["reason"] == "the client could not be stopped in time"
    assert "in hang" in failure["traceback"]


def test_time_that_is_enough_changes_nothing() -> None:
    assert TimeLimit(5.0).run(1, lambda word: word * 2, "a") == "aa"
    assert TimeLimit(None).run(1, lambda: 3) == 3


def test_so_many_clients_at_once_have_so_many_times_the_time() -> None:
    limit = TimeLimit(0.2)
    limit.run(4, time.sleep, 0.3)
    with pytest.raises(ClientTimeout):
        limit.run(1, time.sleep, 5)


def test_a_client_that_takes_no_notice_is_interrupted_again() -> None:
    def stubborn() -> None:
        try:
            time.sleep(5)
        except ClientTimeout:
            time.sleep(5)

    start = time.monotonic()
    with pytest.raises(ClientTimeout):
        TimeLimit(0.1).run(1, stubborn)
    assert time.monotonic() - start < 4


def test_another_timer_continues_where_it_was() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    before = signal.getitimer(signal.ITIMER_REAL)
    rang = []
    signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(ClientTimeout):
            TimeLimit(0.05).run(1, time.sleep, 5)
        assert not rang
        time.sleep(0.6)
        assert rang
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_outside_the_main_thread_no_limit_holds_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = []
    limit = TimeLimit(0.05)
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=lambda: answers.append(limit.run(1, time.sleep, 0.2)))
        thread.start()
        thread.join()
    assert answers == [None]
    assert "outside a main thread" in caplog.text
