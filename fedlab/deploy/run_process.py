"""The process of one run at the server: ``python -m fedlab.deploy.run_process``.

It does what the ServerApp of the installed fedlab does. What it prints goes to who waits for the
run; the last words of a failed one begin with the exit code that ``fedlab deploy run`` ends with.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

from flwr.app import Context
from flwr.serverapp import Grid

from fedlab.deploy.bundle import check_bundle
from fedlab.deploy.flower.objects import ask_sooner
from fedlab.deploy.flower.tasks import serve_run
from fedlab.deploy.processes import MISTAKE, MISTAKEN, end_with_party
from fedlab.errors import FedlabError, FedlabErrors, described, one_line
from fedlab.process import AFTER_SIGNAL

TOKEN = "FEDLAB_DEPLOY_TOKEN"
FAULT, INTERRUPTED = 1, AFTER_SIGNAL + signal.SIGINT


def run(grid: Grid, context: Context, bundle: bytes) -> None:
    """Run the rounds that the run's configuration describes.

    Raises:
        FedlabError: If the bundle is not one of this fedlab, or the run fails.
        SystemExit: If a signal has ended the run after a round.
    """
    check_bundle(bundle)
    from fedlab.run.deployment import deploy

    rounds = deploy(grid, context.run_config)
    if rounds.signal is not None:
        raise SystemExit(AFTER_SIGNAL + rounds.signal)


def outcome(error: BaseException) -> str:
    """Print what ended a run; return its last words: the exit code, and one sentence."""
    code, sentence = _outcome(error)
    if code == FAULT:
        traceback.print_exception(error)
    elif sentence:
        print(f"{MISTAKE}{sentence}", file=sys.stderr)
    return f"{code}: {sentence}"


def _outcome(error: BaseException) -> tuple[int, str]:
    if isinstance(error, FedlabErrors):
        return MISTAKEN, f"\n{MISTAKE}".join(error.sentences)
    if isinstance(error, FedlabError):
        return MISTAKEN, one_line(str(error))
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAULT, ""
    return FAULT, described(error)


def main() -> None:
    """Run the task whose token is in the environment."""
    end_with_party()
    ask_sooner()
    complete = serve_run(sys.argv[1], os.environ.pop(TOKEN), run, outcome)
    sys.exit(0 if complete else FAULT)


if __name__ == "__main__":
    main()
