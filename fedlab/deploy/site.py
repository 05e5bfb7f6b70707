"""A federation's site: the SuperNode that talks to the server, and the process that trains."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from fedlab.deploy.guard import NOT_REGISTERED
from fedlab.deploy.keys import public_path, read_private
from fedlab.deploy.processes import (
    MISTAKE,
    MISTAKEN,
    Processes,
    flower_environment,
    free_port,
    only_one,
    private_folder,
    replace_secret,
    wait_while,
)
from fedlab.deploy.settings import SiteFile, is_loopback
from fedlab.errors import FedlabError, FedlabErrors

SUPERNODE, WORKER = "supernode", "worker"
SHORTEST_LIFE = 30.0
"""A worker that ends sooner than this many seconds after its start is not started again at once."""
LONGEST_PAUSE = 60.0
WARNING = " WARNING "
"""In a line of the worker's log."""


class Site:
    """A site's first process; it starts the others, and starts them anew when they end.

    Args:
        file: What the site's file says.
        insecure: Whether to talk to the server unencrypted, on this machine alone.
        say: Takes what the site's user should know.

    Raises:
        FedlabError: If the key is not usable, or ``insecure`` is not allowed.
    """

    def __init__(self, file: SiteFile, insecure: bool, say: Callable[[str], None]) -> None:
        if insecure and not is_loopback(file.server.address.rpartition(":")[0]):
            raise FedlabError(
                "server.address: with --insecure the server is on 127.0.0.1, and this is "
                f"'{file.server.address}'; a server elsewhere has a certificate"
            )
        if not insecure:
            read_private(Path(file.server.key))
            if not Path(file.server.ca).is_file():
                raise FedlabError(
                    f"server.ca: there is no file {file.server.ca}; it is the CA's certificate, "
                    "which whoever runs the server gives you"
                )
        self._file = file
        self._insecure = insecure
        self._say = say
        self._folder = private_folder(Path(file.server.state))
        self._port = free_port()
        self._secret = self._folder / "executor.secret"
        self._processes = Processes(self._folder, flower_environment(self._folder / "flower"))
        self._started: dict[str, float] = {}
        self._failures = 0

    def run(self) -> None:
        """Take part in the federation until a signal comes.

        Raises:
            FedlabError: If the site takes part already, or the server does not let it.
        """
        with only_one(self._folder, f"the site runs already, with the state in {self._folder}"):
            try:
                replace_secret(self._secret, secrets.token_bytes(32))
                self._start_supernode()
                self._start_worker()
                wait_while(self._look)
            finally:
                self._processes.end()

    def _start_supernode(self) -> None:
        connection = self._file.server
        tls = ["--insecure"]
        if not self._insecure:
            tls = ["--root-certificates", connection.ca]
            tls += ["--auth-supernode-private-key", connection.key]
        configuration = (
            f"site={json.dumps(str(self._file.path))} partition-id={connection.number} "
            f"num-partitions={connection.sites}"
        )
        if self._file.resources.device is not None:
            configuration += f' device="{self._file.resources.device}"'
        self._start(
            SUPERNODE,
            "fedlab.deploy.supernode_process",
            *("--superlink", connection.address, *tls),
            *("--node-config", configuration, "--isolation", "process"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--superexec-auth-secret-file", str(self._secret)),
        )

    def _start_worker(self) -> None:
        resources = self._file.resources
        self._start(
            WORKER,
            "fedlab.deploy.site_worker",
            *("--address", f"127.0.0.1:{self._port}", "--secret", str(self._secret)),
            *("--site", str(self._file.path), "--nice", str(resources.nice)),
            *([] if resources.cpus is None else ["--cpus", str(resources.cpus)]),
        )

    def _start(self, name: str, module: str, *arguments: str) -> None:
        self._started[name] = time.monotonic()
        self._processes.start(name, module, *arguments)

    def _look(self) -> bool:
        for line in self._processes.news_of(WORKER):
            # What does not fit, above all, of which the server is told no word of this site's.
            if WARNING in line:
                self._say(line.partition(WARNING)[2])
        for name, code in self._processes.ended().items():
            log = self._processes.log_of(name)
            if name == SUPERNODE:
                self._explain()
            elif code == MISTAKEN:
                lines = self._processes.lines_of(WORKER, lambda line: line.startswith(MISTAKE))
                raise FedlabErrors(line.removeprefix(MISTAKE) for line in lines)
            self._say(f"the {name} has ended and is started again; its log is {log}")
            self._pause(name)
            if name == SUPERNODE:
                self._start_supernode()
            else:
                self._start_worker()
        return True

    def _pause(self, name: str) -> None:
        """Wait before a process is started again that had only just been started."""
        if time.monotonic() - self._started[name] > SHORTEST_LIFE:
            self._failures = 0
            return
        self._failures += 1
        time.sleep(min(2.0**self._failures, LONGEST_PAUSE))

    def _explain(self) -> None:
        """Look why a SuperNode has ended.

        Raises:
            FedlabError: If it would end in the same way again.
        """
        lines = self._processes.lines_of
        if lines(SUPERNODE, lambda line: NOT_REGISTERED in line):
            raise FedlabError(
                f"the server does not know this site's key; send "
                f"{public_path(Path(self._file.server.key))} to whoever runs it, to be put into "
                f"its folder 'sites' as {self._file.name}.pub, and the server to be started again"
            )
        found = lines(SUPERNODE, lambda line: "CERTIFICATE_VERIFY_FAILED" in line)
        if found:
            raise FedlabError(
                f"the server at {self._file.server.address} has not the certificate that "
                f"{self._file.server.ca} vouches for: {found[-1]}"
            )
