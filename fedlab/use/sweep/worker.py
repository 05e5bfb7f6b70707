"""One process of a sweep: ``python -m fedlab.use.sweep.worker``.

It runs what it is told of on standard input, a line of JSON each, one after the other, and reports
on standard output, so that what takes seconds to import is imported once for many runs. Where its
standard input ends, so does it, after the round that it is at.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

from fedlab.errors import FedlabError, described
from fedlab.results.rows import PRUNED
from fedlab.run.baselines import run_baselines
from fedlab.run.callbacks import Callback, RoundOutcome, RunView, trackers_of
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.trust import own_code


class Reporter(Callback):
    """Reports the outcome of each round, and ends the run where it is asked to.

    Args:
        reports: Where reports go.
    """

    def __init__(self, reports: IO[str]) -> None:
        self._reports = reports
        self.is_asked_to_stop = threading.Event()
        self.is_running = threading.Event()

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Report the test metrics, and the means of clients' own ones."""
        record = outcome.record
        clients = {name: spread["mean"] for name, spread in record.get("clients", {}).items()}
        say(
            self._reports,
            {"round": outcome.round, "test": record.get("test", {}), "clients": clients},
        )

    def started(self, run: RunView) -> None:
        """Note that signals end the run after the round."""
        self.is_running.set()

    def ended(self, run: RunView) -> None:
        """Note that they no longer do."""
        self.is_running.clear()

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return PRUNED if self.is_asked_to_stop.is_set() else None


def say(reports: IO[str], message: dict[str, Any]) -> None:
    """Report a line of JSON."""
    reports.write(json.dumps(message) + "\n")
    reports.flush()


def main() -> None:
    """Run what standard input names."""
    # Whatever else is printed must not stand among the reports.
    reports = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    waiting: queue.Queue[dict[str, Any] | None] = queue.Queue()
    reporter = Reporter(reports)
    threading.Thread(target=_listen, args=(waiting, reporter), daemon=True).start()
    # The sweep's own process has allowed and checked what its scenarios name.
    with own_code(allowed=True):
        while (command := waiting.get()) is not None:
            reporter.is_asked_to_stop.clear()
            say(reports, _outcome(Path(command["run"]), command["baselines"], reporter))


def _listen(waiting: queue.Queue[dict[str, Any] | None], reporter: Reporter) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        if "stop" in command:
            reporter.is_asked_to_stop.set()
        else:
            waiting.put(command)
    waiting.put(None)
    if reporter.is_running.is_set():
        # Whoever started this process has gone: the run stops after the round, with all saved.
        os.kill(os.getpid(), signal.SIGINT)


def _outcome(path: Path, has_baselines: bool, reporter: Reporter) -> dict[str, Any]:
    try:
        folder = RunFolder.open(path)
        with folder.lock:
            callbacks: list[Callback] = [reporter, *trackers_of(folder.scenario, path)]
            rounds = run(folder, callbacks)
            if has_baselines and rounds.status == "finished":
                run_baselines(folder, callbacks)
            for callback in callbacks:
                callback.closed()
    except FedlabError as error:
        return {"ended": "failed", "reason": described(error)}
    except Exception as error:  # one run's fault is not the others'
        traceback.print_exc()
        return {"ended": "failed", "reason": described(error)}
    return {"ended": rounds.status, "reason": rounds.reason}


if __name__ == "__main__":
    main()
