"""Signals that end a run: the first after the round, with all saved; a second one at once."""

from __future__ import annotations

import errno
import os
import signal
import termios
from contextlib import suppress
from types import FrameType
from typing import Any

from fedlab.errors import Interrupted
from fedlab.process import ENDING
from fedlab.results.rows import INTERRUPTED
from fedlab.run.callbacks import Callback, RunView

STREAMS = (0, 1, 2)


class StopOnInterrupt(Callback):
    """Ctrl-C, SIGTERM and SIGHUP end the run after the round; a second one ends it at once.

    Attributes:
        number: The first signal that came.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def started(self, run: RunView) -> None:
        """Take over the signals."""
        for number in ENDING:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup: the run outlives its terminal
            with suppress(ValueError):  # not in the main thread, which alone gets signals
                self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_lost_terminal()
        if self.number is not None:
            raise Interrupted(number)
        self.number = number

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return INTERRUPTED if self.number is not None else None

    def ended(self, run: RunView) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def leave_lost_terminal() -> None:
    """Write to nowhere where the terminal is gone: a write to it would raise, and end the run."""
    for stream in STREAMS:
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, stream)
                os.close(nowhere)
        except OSError:
            pass
