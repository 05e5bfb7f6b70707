"""The process that trains at a site: ``python -m fedlab.deploy.site_worker``.

It stays from message to message, with torch and fedlab imported, and the site's data and model in
memory. Only the installed fedlab answers; a run's bundle is looked at and not imported.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Context, Message

from fedlab.deploy.bundle import check_bundle
from fedlab.deploy.flower.objects import ask_sooner
from fedlab.deploy.flower.supernode import Waits
from fedlab.deploy.flower.tasks import CLIENT, Tasks, answer_message
from fedlab.deploy.processes import MISTAKE, MISTAKEN, end_with_party
from fedlab.errors import FedlabError, Interrupted
from fedlab.scenario.site import load_site
from fedlab.trust import own_code

logger = logging.getLogger(__name__)

SHORTEST_WAIT, LONGEST_WAIT = 0.04, 0.5
"""Seconds between two questions to the SuperNode of this machine."""


def answer(message: Message, context: Context, bundle: bytes) -> Message:
    """Let the installed fedlab answer a message.

    Raises:
        FedlabError: If the run's bundle is not one of this fedlab.
    """
    check_bundle(bundle)
    from fedlab.engine.worker.clientapp import app

    return app(message, context)


def work(address: str, secret: bytes) -> None:
    """Answer messages until a signal ends this process.

    Raises:
        httpx.HTTPError: If the SuperNode does not answer.
    """
    import fedlab.engine.worker.clientapp  # noqa: F401

    tasks, waits = Tasks(address, secret, CLIENT), Waits(SHORTEST_WAIT, LONGEST_WAIT)
    logger.info("ready")
    while True:
        task = tasks.acquire()
        if task is None:
            time.sleep(waits.seconds)
            continue
        try:
            answer_message(address, task.token, answer)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            logger.warning("run %d: the task was given up, since nobody waits for it", task.run)
        except httpx.HTTPStatusError as error:
            logger.warning("run %d: the answer was not taken: %s", task.run, error)
        waits.reset()


def main() -> None:
    """Work for the SuperNode at an address, within what the site's file allows."""
    end_with_party()
    ask_sooner()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--address", required=True)
    parser.add_argument("--secret", type=Path, required=True)
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--nice", type=int, default=0)
    options = parser.parse_args()
    _limit(options.cpus, options.nice)

    def end(number: int, frame: Any) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, end)
    try:
        with own_code(load_site(options.site).permissions.modules):
            work(options.address, options.secret.read_bytes())
    except FedlabError as error:
        for sentence in str(error).splitlines():
            print(f"{MISTAKE}{sentence}", file=sys.stderr)
        sys.exit(MISTAKEN)
    except Interrupted:
        sys.exit(0)


def _limit(cpus: int | None, nice: int) -> None:
    """Let this process use some of the machine's CPUs alone, and give way to others."""
    os.nice(nice)
    if cpus is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])


if __name__ == "__main__":
    main()
