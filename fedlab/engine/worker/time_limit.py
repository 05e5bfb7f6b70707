"""How long one client may take: it is stopped, and where it cannot be stopped its process ends.

A timer's signal interrupts Python code wherever it is. Native code that does not return to Python
is beyond that: there, in a worker process, ``faulthandler`` writes where every thread stands and
ends the process; the engine reads what it wrote and starts another worker.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import IO, Any, ParamSpec, TypeVar

from fedlab.errors import FedlabError

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

SECONDS_TO_STOP = 1.0
"""After this time a client that ignored the signal gets it again."""


class ClientTimeout(FedlabError):
    """A client took longer than the scenario allows."""


class TimeLimit:
    """The time that one client may take in this process.

    Attributes:
        seconds: ``engine.client_timeout``, or None where there is no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._crash_log: IO[str] | None = None
        self._applies = seconds is not None

    def end_process(self, crash_log: IO[str]) -> None:
        """End this process, too, where a client in native code cannot be stopped.

        Args:
            crash_log: An open file, which receives where every thread stood.
        """
        self._crash_log = crash_log

    def run(
        self,
        clients: int,
        call: Callable[Arguments, Answer],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Answer:
        """Return the result of a call that runs this many clients at once.

        Raises:
            ClientTimeout: If it takes longer than they may.
        """
        if not self._applies or self.seconds is None:
            return call(*arguments, **options)
        if threading.current_thread() is not threading.main_thread():
            self._applies = False
            logger.warning("engine.client_timeout: clients outside a main thread are not stopped")
            return call(*arguments, **options)
        return self._run_limited(clients * self.seconds, call, *arguments, **options)

    def _run_limited(
        self,
        seconds: float,
        call: Callable[Arguments, Answer],
        *arguments: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Answer:
        start = time.monotonic()
        handler = signal.signal(signal.SIGALRM, self._stop)
        earlier = signal.setitimer(signal.ITIMER_REAL, seconds, SECONDS_TO_STOP)[0]
        if self._crash_log is not None:
            faulthandler.dump_traceback_later(hard_limit(seconds), exit=True, file=self._crash_log)

        def leave() -> None:
            left = max(earlier - (time.monotonic() - start), 1e-3) if earlier else 0.0
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, left)
            if self._crash_log is not None:
                faulthandler.cancel_dump_traceback_later()

        try:
            try:
                return call(*arguments, **options)
            finally:
                leave()
        except ClientTimeout:
            # The signal may have come while the way out had only begun.
            leave()
            raise

    def _stop(self, number: int, frame: FrameType | None) -> Any:
        raise ClientTimeout(
            f"the client took longer than engine.client_timeout ({self.seconds:g} s)"
        )


def hard_limit(seconds: float) -> float:
    """Return after how long a process ends whose client should have stopped after ``seconds``."""
    return 2 * seconds + SECONDS_TO_STOP
