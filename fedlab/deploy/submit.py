"""Submitting a run to the server of this machine, and watching it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedlab.deploy.bundle import make_bundle
from fedlab.deploy.flower.control import Control, RunStatus
from fedlab.deploy.run_process import FAULT, INTERRUPTED
from fedlab.deploy.server import entrance_of, stop_file
from fedlab.deploy.settings import Listening


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
        FedlabError: If the server is not running, or does not take the run.
    """
    with control_of(settings) as control:
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


def exit_code_of(status: RunStatus) -> int:
    """Return the exit code of a run that has ended."""
    if status.is_complete:
        return 0
    code = status.details.partition(":")[0]
    if status.outcome == "stopped":
        return INTERRUPTED
    return int(code) if code.isdigit() else FAULT
