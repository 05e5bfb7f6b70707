"""A run folder's scenario run within a program: a script, a notebook, a thread, a coroutine."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from fedlab.api.notebook import NotebookDisplay, in_notebook
from fedlab.engine.ray.start import start_early
from fedlab.errors import FedlabError, shortened
from fedlab.results.rows import INTERRUPTED
from fedlab.run.callbacks import Callback
from fedlab.run.display import PlainLines, display_for
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.run.session import Session
from fedlab.scenario import Scenario
from fedlab.terminal import PlainConsole

_ONE_AT_A_TIME = threading.RLock()
"""Torch's threads and generators, and Python's list of finders, are the process's."""


@dataclass(frozen=True)
class Watching:
    """What a caller wants of a run while it lasts.

    Attributes:
        progress: Whether progress is shown: bars in a notebook and on a terminal, else lines.
        callbacks: What else watches.
        stop: Once it is set, the run ends after the round.
    """

    progress: bool = True
    callbacks: Sequence[Callback] = ()
    stop: threading.Event | None = None

    def __post_init__(self) -> None:
        """Check what is handed over.

        Raises:
            FedlabError: If it is something else.
        """
        if self.stop is not None and not callable(getattr(self.stop, "is_set", None)):
            raise FedlabError(
                f"stop: a threading.Event belongs here, not an object of {type(self.stop).__name__}"
            )
        if not isinstance(self.callbacks, Sequence):
            raise FedlabError("callbacks: a list of callbacks belongs here")
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise FedlabError(
                    "callbacks: objects of subclasses of fedlab.run.callbacks.Callback belong "
                    f"here, not {shortened(repr(callback))}"
                )


class StopWhenAsked(Callback):
    """Ends the run after the round, once an event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return INTERRUPTED if self._event.is_set() else None


def start_engine(scenario: Scenario) -> None:
    """Begin to start what the scenario's engine takes seconds to start."""
    start_early(scenario.engine.model_dump(), forks_this_process=False)


def execute(folder: RunFolder, watching: Watching) -> Rounds:
    """Run a folder's scenario and baselines from its newest checkpoint on, and write the report.

    Ctrl-C, or the interruption of a notebook's cell, ends it after the round with all saved; a
    second one at once. Runs of several threads take turns.

    Raises:
        FedlabError: If another process writes to the folder, or the scenario cannot be run.
        KeyboardInterrupt: If it is interrupted a second time, or before the first round.
    """
    console = PlainConsole(stderr=True)
    displays = [_display(folder, console)] if watching.progress else []
    stops = [StopWhenAsked(watching.stop)] if watching.stop is not None else []
    with _ONE_AT_A_TIME, folder.lock:
        session = Session(folder, [*displays, *stops, *watching.callbacks])
        rounds = session.train()
        session.compare(rounds)
        session.conclude()
    if displays and rounds.reason == INTERRUPTED:
        displays[0].say(f"Stopped after round {rounds.round}; resume() continues.")
    if rounds.signal not in (None, signal.SIGINT):
        # Whoever ends the program means all of it, and not this call alone.
        signal.raise_signal(rounds.signal)
    return rounds


def _display(folder: RunFolder, console: PlainConsole) -> PlainLines:
    return NotebookDisplay(folder, console) if in_notebook() else display_for(folder, console)
