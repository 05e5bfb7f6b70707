"""A federation's server: the SuperLink, and a process for each run."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from fedlab.deploy.certificates import check_certificates
from fedlab.deploy.flower.control import Control
from fedlab.deploy.flower.superlink import key_bytes
from fedlab.deploy.flower.supernode import Waits
from fedlab.deploy.flower.tasks import SERVER, Tasks
from fedlab.deploy.keys import registered_keys
from fedlab.deploy.processes import (
    Processes,
    flower_environment,
    free_port,
    only_one,
    private_folder,
    replace_secret,
    wait_while,
)
from fedlab.deploy.run_process import TOKEN
from fedlab.deploy.settings import Listening, is_loopback
from fedlab.errors import FedlabError

SUPERLINK, RUN = "superlink", "run-{}"
SECONDS_TO_START = 60.0
SHORTEST_WAIT, LONGEST_WAIT = 0.2, 1.0
"""Seconds between two looks for a run that waits."""


@dataclass(frozen=True)
class Entrance:
    """How this machine's processes reach a running server.

    Attributes:
        address: Of the private port.
        secret: What the Control interface asks for.
    """

    address: str
    secret: str


def entrance_file(settings: Listening) -> Path:
    """Return the file that says how to reach the running server."""
    return Path(settings.state) / "entrance.json"


def stop_file(settings: Listening, run: int) -> Path:
    """Return the file that asks for the end of a run after its round."""
    return Path(settings.state) / f"stop-{run}"


def entrance_of(settings: Listening) -> Entrance:
    """Return how to reach the running server.

    Raises:
        FedlabError: If it is not running, or is another user's.
    """
    path = entrance_file(settings)
    try:
        return Entrance(**json.loads(path.read_text()))
    except FileNotFoundError as error:
        raise FedlabError(
            f"the server of {path.parent} is not running; start it with 'fedlab deploy server'"
        ) from error
    except PermissionError as error:
        raise FedlabError(
            f"{path} cannot be read: runs are submitted by the user who started the server"
        ) from error


class Server:
    """The server's first process; it starts the others and ends them.

    Args:
        settings: ``[server]`` of the server's file.
        insecure: Whether sites come without keys and unencrypted, over the loopback address alone.

    Raises:
        FedlabError: If certificates or keys are not usable, or ``insecure`` is not allowed.
    """

    def __init__(self, settings: Listening, insecure: bool = False) -> None:
        if insecure and not is_loopback(settings.host):
            raise FedlabError(
                f"server.host: with --insecure the server listens on 127.0.0.1 alone, and this is "
                f"'{settings.host}'; sites elsewhere need certificates and keys"
            )
        if not insecure:
            paths = (settings.certificate, settings.key, settings.ca)
            check_certificates(*(Path(path) for path in paths))
        self.settings = settings
        self.keys = {} if insecure else registered_keys(Path(settings.sites))
        self._insecure = insecure
        self._folder = private_folder(Path(settings.state))
        self._entrance = Entrance(f"127.0.0.1:{free_port()}", secrets.token_urlsafe(32))
        self._executor_secret = secrets.token_bytes(32)
        environment = flower_environment(self._folder / "flower")
        self._processes = Processes(self._folder, environment)

    def run(self, ready: Callable[[], None]) -> None:
        """Serve until a signal comes.

        Args:
            ready: Called once sites can connect.

        Raises:
            FedlabError: If the server runs already, cannot be started, or has ended by itself.
        """
        with only_one(self._folder, f"another server runs with the state in {self._folder}"):
            try:
                self._start()
                ready()
                self._serve()
            finally:
                entrance_file(self.settings).unlink(missing_ok=True)
                self._processes.end()

    def _start(self) -> None:
        """Start the SuperLink, and register the sites."""
        secret, executor = self._folder / "control.secret", self._folder / "executor.secret"
        replace_secret(secret, self._entrance.secret.encode())
        replace_secret(executor, self._executor_secret)
        settings, port = self.settings, self._entrance.address.rpartition(":")[2]
        tls = ["--insecure"]
        if not self._insecure:
            tls = ["--ssl-certfile", settings.certificate, "--ssl-keyfile", settings.key]
            tls += ["--ssl-ca-certfile", settings.ca, "--enable-supernode-auth"]
        self._processes.start(
            SUPERLINK,
            "fedlab.deploy.superlink_process",
            *("--private-port", port, "--secret", str(secret)),
            *([] if self._insecure else ["--sites", settings.sites]),
            *("--host", settings.host, "--port", str(settings.port), *tls),
            *("--isolation", "process", "--superexec-auth-secret-file", str(executor)),
            "--disable-runtime-dependency-installation",
        )
        self._wait_until_up()
        if not self._insecure:
            self._register()
        content = {"address": self._entrance.address, "secret": self._entrance.secret}
        replace_secret(entrance_file(self.settings), json.dumps(content).encode())

    def _wait_until_up(self) -> None:
        """Wait until the SuperLink answers on both ports.

        Raises:
            FedlabError: If it ends, or does not within a minute.
        """
        scheme = "http" if self._insecure else "https"
        host = self.settings.host
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
        addresses = (f"http://{self._entrance.address}", f"{scheme}://{host}:{self.settings.port}")
        until = time.monotonic() + SECONDS_TO_START
        for address in addresses:
            # Which server answers is nothing that a certificate has to say here.
            while not _answers(f"{address}/health"):
                if self._processes.ended() or time.monotonic() > until:
                    raise FedlabError(self._why_ended())
                time.sleep(0.1)
        if self._processes.ended():
            raise FedlabError(self._why_ended())

    def _why_ended(self) -> str:
        found = self._processes.lines_of(SUPERLINK, lambda line: "error" in line.lower())
        reason = found[-1] if found else "it gives no reason"
        log = self._processes.log_of(SUPERLINK)
        return f"the SuperLink could not be started: {reason} (its log is {log})"

    def _register(self) -> None:
        """Let exactly the sites take part whose keys are in the folder."""
        wanted = {key_bytes(key): name for name, key in self.keys.items()}
        with Control(self._entrance.address, self._entrance.secret) as control:
            known = {site.key: site for site in control.sites()}
            for key, site in known.items():
                if wanted.get(key) != site.name:
                    control.unregister(site)
            for key, name in wanted.items():
                if key not in known or known[key].name != name:
                    control.register(name, key)

    def _serve(self) -> None:
        """Start a process for each run that waits; look after those that are there."""
        tasks = Tasks(self._entrance.address, self._executor_secret, SERVER)
        waits = Waits(SHORTEST_WAIT, LONGEST_WAIT)

        def look() -> bool:
            for name in self._processes.ended():
                if name == SUPERLINK:
                    raise FedlabError(
                        f"the SuperLink has ended; its log is {self._processes.log_of(SUPERLINK)}"
                    )
            self._stop_runs()
            with suppress(httpx.TransportError):
                task = tasks.acquire()
                if task is not None:
                    self._begin(task.run, task.token)
                    waits.reset()
            return True

        wait_while(look, lambda: waits.seconds)
        tasks.close()

    def _begin(self, run: int, token: str) -> None:
        self._processes.start(
            RUN.format(run),
            "fedlab.deploy.run_process",
            self._entrance.address,
            **{TOKEN: token},
        )

    def _stop_runs(self) -> None:
        """Let runs end after their round, where that is asked for."""
        for path in self._folder.glob("stop-*"):
            path.unlink(missing_ok=True)
            self._processes.signal(RUN.format(path.name.partition("-")[2]), signal.SIGINT)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, verify=False, timeout=2.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
