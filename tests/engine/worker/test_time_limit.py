"""A client that hangs is stopped, reported and left out; the run goes on."""

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
from fedlab.scenario import loads
from fedlab.training.task import LocalTask
from fedlab.training.terms import ParameterTerm

SCENARIO = """
rounds = 2
[data]
name = "iris"
[data.partition]
name = "iid"
clients = 6
[model]
name = "linear"
[client]
name = "{here}:{client}"
[engine]
name = "{engine}"
client_timeout = 1.0
{keys}
"""


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


def failed(folder: Path, **keys: Any) -> dict[str, Any]:
    keys = {"client": "Sleeper", "engine": "inline", "keys": "", **keys}
    run_folder = RunFolder.create(folder, "hang", loads(SCENARIO.format(here=__name__, **keys)))
    assert run(run_folder).status == "finished"
    lines = [line for line in run_folder.lines("metrics.jsonl") if line["round"]]
    assert [line["failures"] for line in lines] == [1, 0]
    (failure,) = run_folder.lines("failures.jsonl")
    assert (failure["round"], failure["client"]) == (1, 4)
    return failure


WAYS = {
    "stacked": {},
    "apart": {"keys": "vectorised = false"},
    "individual replies": {"keys": '[strategy]\nname = "fedmedian"'},
    "in evaluation": {"client": "SlowJudge", "keys": "[evaluation]\nfederated = true"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_hangs_is_stopped_on_every_path(tmp_path: Path, way: str) -> None:
    failure = failed(tmp_path, **WAYS[way])
    assert failure["phase"] == ("evaluate" if way == "in evaluation" else "train")
    assert failure["reason"] == "the client took longer than engine.client_timeout (1 s)"
    assert "in hang" in failure["traceback"]
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0


def test_a_worker_stuck_in_native_code_is_ended_and_its_other_clients_run(tmp_path: Path) -> None:
    keys = "workers = 2\nvectorised = 3"
    failure = failed(tmp_path, client="Deaf", engine="ray", keys=keys)
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


def test_a_client_that_takes_no_notice_is_told_again() -> None:
    def stubborn() -> None:
        try:
            time.sleep(5)
        except ClientTimeout:
            time.sleep(5)

    start = time.monotonic()
    with pytest.raises(ClientTimeout):
        TimeLimit(0.1).run(1, stubborn)
    assert time.monotonic() - start < 4


def test_another_timer_goes_on_where_it_was() -> None:
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


def test_outside_the_main_thread_clients_run_without_a_limit_and_that_is_told(
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
