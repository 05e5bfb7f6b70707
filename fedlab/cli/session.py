"""Runs of a run folder with a suitable display: live, plain lines, or JSON."""

from __future__ import annotations

from typing import TextIO

import typer

from fedlab.process import AFTER_SIGNAL
from fedlab.results.rows import INTERRUPTED
from fedlab.run.folder import RunFolder
from fedlab.terminal import PlainConsole


def execute(folder: RunFolder, stream: TextIO | None) -> None:
    """Run the folder's scenario and its baselines, then write the report.

    Args:
        folder: The run folder.
        stream: Takes a line of JSON a round; then the rest is printed on standard error.

    Raises:
        FedlabError: If another process writes to the folder, or the scenario cannot be run.
    """
    with folder.lock:
        _execute(folder, stream)


def _execute(folder: RunFolder, stream: TextIO | None) -> None:
    from fedlab.results.own_parts import own_parts
    from fedlab.results.reading import RunRecord
    from fedlab.results.sites import site_figures
    from fedlab.results.unseen import unseen_figures
    from fedlab.run.display import JsonLines, display_for
    from fedlab.run.session import Session

    console = PlainConsole(stderr=stream is not None)
    _name_own_code(console)
    display = display_for(folder, console) if stream is None else JsonLines(stream)
    session = Session(folder, [display])
    had_ended = session.has_ended
    try:
        rounds = session.train()
    except KeyboardInterrupt:
        if folder.latest() is not None:
            console.say(f"Ended in the middle of a round. Resume: {folder.resume_command}")
        raise
    session.compare(rounds)
    # Whatever is damaged or cannot be written from here on: the training is in this folder.
    console.print(f"Run folder  {folder.path}", soft_wrap=True)
    record = RunRecord.load(folder.path)
    own = own_parts(record)
    if own is not None:
        console.say(own.sentence)
    unseen = unseen_figures(record)
    if unseen is not None:
        console.say(unseen.sentence)
    if record.summary is not None and record.summary.best_by_validation is not None:
        console.say(record.summary.best_by_validation.sentence)
    sites = site_figures(record)
    if sites is not None:
        console.say(sites.sentence)
    console.print(f"Report      {session.conclude()}", soft_wrap=True)
    if had_ended:
        console.say(
            f"The run had ended already: all {rounds.round} rounds are done. To go on longer: "
            f"fedlab resume {folder.path} --rounds {rounds.round + max(rounds.round // 2, 1)}"
        )
    elif rounds.reason == INTERRUPTED:
        console.say(f"Stopped after round {rounds.round}. Resume: {folder.resume_command}")
    elif rounds.status == "stopped" and folder.scenario.evaluation.early_stopping is not None:
        console.say(
            f"evaluation.early_stopping ended the run after round {rounds.round}: {rounds.reason}. "
            f"To go on all the same: fedlab resume {folder.path} --set "
            "evaluation.early_stopping.patience=N (or .threshold)"
        )
    if rounds.signal is not None:
        raise typer.Exit(AFTER_SIGNAL + rounds.signal)


def _name_own_code(console: PlainConsole) -> None:
    """Say which classes of whose files the scenario has had imported."""
    import sys

    from fedlab.registry import own_classes

    for cls in own_classes():
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        where = f", {file}" if file else ""
        console.print(f"Own code    {cls.__module__}:{cls.__qualname__}{where}", soft_wrap=True)
