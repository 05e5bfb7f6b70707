"""Submitting a run to the server of this machine, and watching it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fedlab import files
from fedlab.deploy.bundle import make_bundle
from fedlab.deploy.flower.control import Control, RunStatus
from fedlab.deploy.run_process import FAULT, INTERRUPTED
from fedlab.deploy.server import entrance_of, stop_file
from fedlab.deploy.settings import Listening
from fedlab.errors import FedlabError
from fedlab.process import AFTER_SIGNAL
from fedlab.scenario import dumps, load, load_with_origins
from fedlab.wire.protocol import FOLDER, RESUME, SCENARIO


def control_of(settings: Listening) -> Control:
    """Return the Control interface of the running server.

    Raises:
        FedlabError: If it is not running, or is another user's.
    """
    entrance = entrance_of(settings)
    return Control(entrance.address, entrance.secret)


def submit(
    settings: Listening,
    configuration: Mapping[str, Any],
    write: Callable[[str], None],
    say: Callable[[str], None],
) -> int:
    """Submit a run, write its log as it comes, and return its exit code.

    Ctrl-C ends the run after its round, a second one at once.

    Args:
        settings: ``[server]`` of the server's file.
        configuration: The run's.
        write: Takes the run's log.
        say: Takes what else the user should know.

    Raises:
        FedlabError: If the server is not running, does not take the run, or ends during it.
    """
    with server_at_hand(Path(configuration[FOLDER])), control_of(settings) as control:
        run = control.start_run(make_bundle(), configuration)
        say(f"Run {run}")
        asked = 0
        since = 0.0
        while True:
            try:
                for part, at in control.log_of(run, since):
                    write(part)
                    since = at
                break
            except KeyboardInterrupt:
                asked += 1
                if asked == 1:
                    stop_file(settings, run).touch(mode=0o600)
                    say("The run ends after this round; Ctrl-C again ends it at once")
                else:
                    control.stop_run(run)
        return exit_code_of(control.run(run))


@contextmanager
def server_at_hand(folder: Path) -> Iterator[None]:
    """Say what continues a run whose server has ended.

    Args:
        folder: The run folder.

    Raises:
        FedlabError: If it has ended within the block.
    """
    try:
        yield
    except httpx.TransportError as error:
        where = folder / files.CHECKPOINTS
        saved = where.is_dir() and any(where.iterdir())
        hint = (
            f"; 'fedlab deploy run --resume {folder}' goes on once it runs again" if saved else ""
        )
        raise FedlabError(
            f"the server does not answer any more; its SuperLink has ended{hint}"
        ) from error


def configuration_of(
    settings: Listening, scenario: str, changes: Sequence[str], name: str | None
) -> dict[str, Any]:
    """Return the configuration of a new run.

    Args:
        settings: ``[server]`` of the server's file.
        scenario: A built-in scenario's name, or a TOML file.
        changes: ``table.key=value`` each.
        name: The run folder's name; None: the scenario's and the time.

    Raises:
        FedlabError: If the scenario is not valid, or the run folder is there already.
    """
    loaded = load_with_origins(scenario, changes)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    if name is not None and Path(name).name != name:
        raise FedlabError(f"--name: '{name}' is no name of a folder in {settings.runs}")
    folder = Path(settings.runs) / (name or f"{loaded.name}-{stamp}")
    if folder.exists():
        raise FedlabError(f"{folder} is there already; give the run another --name")
    return {SCENARIO: dumps(loaded.scenario), FOLDER: str(folder), RESUME: False}


def resumed(folder: Path, changes: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a run that goes on in its folder.

    Args:
        folder: The run folder.
        changes: ``table.key=value`` each, such as more rounds.

    Raises:
        FedlabError: If it is no run folder, or the changed scenario is not valid.
    """
    scenario = load(str(files.scenario_of(folder)), changes)
    return {SCENARIO: dumps(scenario), FOLDER: str(folder.absolute()), RESUME: True}


def end_run(settings: Listening, run: int, now: bool) -> None:
    """End a run.

    Args:
        settings: ``[server]`` of the server's file.
        run: Its number.
        now: Whether to end it in the middle of its round.

    Raises:
        FedlabError: If there is no such run, or it has ended.
    """
    with control_of(settings) as control:
        status = control.run(run)
        if status.is_finished:
            raise FedlabError(f"run {run} has ended already: {status.outcome}")
        if now:
            control.stop_run(run)
        else:
            stop_file(settings, run).touch(mode=0o600)


def outcome_of(status: RunStatus) -> str:
    """Return how far a run is, in a word or two."""
    if not status.is_finished:
        return status.status
    return "interrupted" if exit_code_of(status) > AFTER_SIGNAL else status.outcome


def exit_code_of(status: RunStatus) -> int:
    """Return the exit code of a run that has ended."""
    if status.is_complete:
        return 0
    code = status.details.partition(":")[0]
    if status.outcome == "stopped":
        return INTERRUPTED
    return int(code) if code.isdigit() else FAULT
