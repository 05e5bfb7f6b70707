"""Runs of a run folder with a suitable display: live, plain lines, or JSON."""

from __future__ import annotations

import sys

from rich.console import Console

from fedlab.run.folder import RunFolder


def execute(folder: RunFolder, as_json: bool) -> None:
    """Run the folder's scenario and its baselines, then write the report.

    Raises:
        FedlabError: If another process writes to the folder, or the scenario cannot be run.
    """
    with folder.lock:
        _execute(folder, as_json)


def _execute(folder: RunFolder, as_json: bool) -> None:
    from fedlab.results.own_parts import own_parts
    from fedlab.results.reading import RunRecord
    from fedlab.results.report.page import write_report
    from fedlab.run.baselines import run_baselines
    from fedlab.run.callbacks import trackers_of
    from fedlab.run.display import JsonLines, LiveDisplay, PlainLines
    from fedlab.run.execution import run

    console = Console(stderr=as_json)
    if as_json:
        display: JsonLines | LiveDisplay | PlainLines = JsonLines(sys.stdout)
    elif console.is_terminal:
        display = LiveDisplay(folder, console)
    else:
        display = PlainLines(folder, console)
    callbacks = [display, *trackers_of(folder.scenario, folder.path)]
    rounds = run(folder, callbacks)
    if rounds.status == "finished":
        run_baselines(folder, callbacks)
    own = own_parts(RunRecord.load(folder.path))
    if own is not None:
        console.print(own.sentence, highlight=False)
    report = write_report(folder.path)
    for callback in callbacks:
        callback.closed()
    if rounds.reason == "interrupted":
        console.print(f"Stopped after round {rounds.round}. Resume: fedlab resume {folder.path}")
    console.print(f"Run folder  {folder.path}\nReport      {report}", highlight=False)
