"""Processes that run a sweep's members, several at a time."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fedlab.results.rows import came_to_its_end
from fedlab.use.sweep.members import Member

COMMAND = (sys.executable, "-P", "-m", "fedlab.use.sweep.worker")
"""No file of the folder that one is in takes the place of a module."""
SECONDS_TO_END = 600.0
"""What a round may take after Ctrl-C."""


@dataclass(frozen=True)
class Outcome:
    """How a member has ended.

    Attributes:
        member: The member.
        status: "finished", "stopped" or "failed".
        reason: Why it did not finish.
    """

    member: Member
    status: str
    reason: str = ""

    @property
    def came_to_its_end(self) -> bool:
        """Return whether all rounds were run, or as many as early stopping asked for."""
        return came_to_its_end(self.status, self.reason)


class Source(Protocol):
    """Says what is run next, and learns from what was run."""

    def next(self) -> Member | None:
        """Return what is to be run now; None: nothing, before another run has ended."""
        ...

    def watch(self, member: Member, report: dict[str, Any]) -> bool:
        """Take a round's report; return whether the run goes on."""
        ...

    def take(self, outcome: Outcome) -> None:
        """Take how a member has ended."""
        ...


class Process:
    """A process that runs members one after the other.

    Args:
        log: Where its own words go.
        inbox: Takes what it reports.
    """

    def __init__(self, log: Path, inbox: queue.Queue[tuple[Process, dict[str, Any]]]) -> None:
        self.member: Member | None = None
        self._inbox = inbox
        with log.open("a") as file:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                # Ctrl-C is this process's to pass on, once.
                start_new_session=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._inbox.put((self, json.loads(line)))
        code = self._process.wait()
        why = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._inbox.put((self, {"gone": why}))

    def run(self, member: Member, has_baselines: bool) -> None:
        """Run a member."""
        self.member = member
        self._say({"run": str(member.path.absolute()), "baselines": has_baselines})

    def stop(self) -> None:
        """End the present run after its round."""
        self._say({"stop": True})

    def interrupt(self) -> None:
        """End the present run after its round, and the process with it."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """End the process, which does nothing."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def _say(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, which its last report says
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()


class Jobs:
    """Runs what a source names, several members at a time.

    Args:
        count: How many.
        log: The file for what the processes print.
        has_baselines: Whether baselines are run, too.
        ended: Called with each outcome.
    """

    def __init__(
        self, count: int, log: Path, has_baselines: bool, ended: Callable[[Outcome], None]
    ) -> None:
        self._count = count
        self._log = log
        self._has_baselines = has_baselines
        self._ended = ended
        self._inbox: queue.Queue[tuple[Process, dict[str, Any]]] = queue.Queue()
        self._idle: list[Process] = []
        self._busy: list[Process] = []

    def run(self, source: Source) -> bool:
        """Run until the source has nothing left; return False if Ctrl-C has ended it."""
        try:
            while True:
                self._fill(source)
                if not self._busy:
                    return True
                self._handle(*self._inbox.get(), source)
        except KeyboardInterrupt:
            self._wind_up(source)
            return False
        finally:
            for process in self._idle:
                process.close()
            for process in self._busy:
                process.kill()

    def _fill(self, source: Source) -> None:
        while len(self._busy) < self._count and (member := source.next()) is not None:
            member.opened()
            process = self._idle.pop() if self._idle else Process(self._log, self._inbox)
            process.run(member, self._has_baselines)
            self._busy.append(process)

    def _handle(self, process: Process, message: dict[str, Any], source: Source) -> None:
        member = process.member
        if "gone" in message:
            self._idle = [other for other in self._idle if other is not process]
            if member is None:
                return
            self._busy.remove(process)
            reason = f"its process has ended ({message['gone']}); {self._log} may say why"
            self._end(Outcome(member, "failed", reason), source)
        elif "ended" in message:
            assert member is not None
            process.member = None
            self._busy.remove(process)
            self._idle.append(process)
            self._end(Outcome(member, message["ended"], message.get("reason") or ""), source)
        elif member is not None and not source.watch(member, message):
            process.stop()

    def _end(self, outcome: Outcome, source: Source) -> None:
        source.take(outcome)
        self._ended(outcome)

    def _wind_up(self, source: Source) -> None:
        """Let the runs under way end after their rounds."""
        for process in self._busy:
            process.interrupt()
        with suppress(queue.Empty, KeyboardInterrupt):
            while self._busy:
                process, message = self._inbox.get(timeout=SECONDS_TO_END)
                if "gone" in message or "ended" in message:
                    self._busy = [other for other in self._busy if other is not process]
                    process.member = None
                    process.close()
