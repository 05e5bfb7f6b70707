"""Hosts of a Ray cluster for tests: network namespaces, or raylets beside each other.

With the rights for it each host is a network namespace with an address of its own, on a bridge;
else all hosts are raylets of this machine. Either way a host's processes are told by a variable in
their environment, so that a test ends those that it has started and no others.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

MARK = "FEDLAB_TEST_HOST"
SECONDS_TO_START = 180.0
TRIES = 3
RAY = str(Path(sys.executable).parent / "ray")
ALONE = ["unshare", "--pid", "--fork", "--mount-proc"]
FEDLAB = [sys.executable, "-m", "fedlab"]


def has_namespaces() -> bool:
    """Return whether this process may make network namespaces."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"fl-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=True)
    return True


@dataclass
class Host:
    """One machine of a cluster.

    Attributes:
        mark: What the environment of its processes says.
        address: Its address on the network.
        prefix: What commands begin with that run there.
    """

    mark: str
    address: str
    prefix: list[str] = field(default_factory=list)

    def processes(self, program: str = "") -> Iterator[int]:
        """Yield its processes, those whose command names a program."""
        wanted = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                if program.encode() in (entry / "cmdline").read_bytes():
                    yield int(entry.name)

    def kill(self, program: str = "") -> None:
        """Kill its processes, those whose command names a program."""
        for process in list(self.processes(program)):
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)


class Hosts:
    """A network of hosts; use it as a context manager.

    Args:
        isolated: Whether hosts are network namespaces.
    """

    def __init__(self, isolated: bool) -> None:
        self.isolated = isolated
        self._name = secrets.token_hex(3)
        # Short, as sockets' paths must be.
        self.folder = Path(tempfile.mkdtemp(prefix="fl-", dir="/tmp"))
        self.hosts: list[Host] = []
        self.port = 20000 + secrets.randbelow(10000)
        self._subnet = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"

    def __enter__(self) -> Hosts:
        if self.isolated:
            _ip("netns", "add", self._namespace(0))
            self._in_hub("link", "add", "br0", "type", "bridge")
            self._in_hub("link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.kill()
        if self.isolated:
            for number in range(len(self.hosts) + 1):
                subprocess.run(["ip", "netns", "del", self._namespace(number)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _namespace(self, number: int) -> str:
        return f"fl-{self._name}-{number}"

    def _in_hub(self, *arguments: str) -> None:
        _ip("-n", self._namespace(0), *arguments)

    def host(
        self, hidden: Sequence[Path] = (), alone: bool = False, own: Sequence[Path] = ()
    ) -> Host:
        """Add a host to the network.

        Args:
            hidden: Folders that are empty for each of its commands.
            alone: Whether its commands see no other processes.
            own: Folders of which it has its own, empty at first, for all its commands, which see no
                processes of other hosts.
        """
        number = len(self.hosts) + 1
        mark = f"{self._name}-{number}"
        if not self.isolated:
            if hidden or alone or own:
                raise ValueError("hosts that share a machine see its files and processes")
            self.hosts.append(Host(mark, "127.0.0.1"))
            return self.hosts[-1]
        name, address = self._namespace(number), f"{self._subnet}.{number}"
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", f"p{number}")
        _ip("-n", name, "link", "set", f"p{number}", "netns", self._namespace(0))
        self._in_hub("link", "set", f"p{number}", "master", "br0")
        self._in_hub("link", "set", f"p{number}", "up")
        for link in ("lo", "eth0"):
            _ip("-n", name, "link", "set", link, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        # As machines have; Ray takes the address that packets would leave by.
        _ip("-n", name, "route", "add", "default", "dev", "eth0")
        enter = ["ip", "netns", "exec", name]
        host = Host(mark, address, enter)
        if own:
            enter = self._with_own(host, own)
        host.prefix = [*enter, *_hiding(hidden), *(ALONE if alone else [])]
        self.hosts.append(host)
        return host

    def _with_own(self, host: Host, folders: Sequence[Path]) -> list[str]:
        """Return what commands begin with that see a host's own folders and processes alone."""
        ready = self.folder / f"mounted-{host.mark}"
        hold = f"touch {shlex.quote(str(ready))}; exec sleep infinity"
        process = subprocess.Popen(
            [*host.prefix, *ALONE, *_hiding(folders), "sh", "-c", hold], env=self.environment(host)
        )
        wait_until(ready.exists, SECONDS_TO_START, "folders of a host's own")
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        return ["nsenter", "--target", inside, "--mount", "--net", "--pid"]

    def environment(self, host: Host, **more: str) -> dict[str, str]:
        """Return the environment of a host's processes; it says which of them are its own."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        own = {"RAY_USAGE_STATS_ENABLED": "0", "FEDLAB_CACHE": str(self.folder / "cache")}
        # Beside other tests, workers of Ray's own niceness, 15, take minutes to begin.
        own["RAY_worker_niceness"] = "0"
        return inherited | {MARK: host.mark} | own | more

    def start(
        self, host: Host, command: list[str], log: Path, **more: str
    ) -> subprocess.Popen[str]:
        """Start a command on a host, in the folder of the log that its output goes to."""
        with log.open("w") as file:
            return subprocess.Popen(
                [*host.prefix, *command],
                env=self.environment(host, **more),
                cwd=log.parent,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                # A shell that starts the tests in the background lets them ignore Ctrl-C, and what
                # they start would as well.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def ray_head(self, host: Host, cpus: int = 0, **more: str) -> str:
        """Start the head of a cluster; return its address."""
        address = f"{host.address}:{self.port}"
        place = ["--head", "--port", str(self.port), "--node-ip-address", host.address]
        place += ["--temp-dir", str(self.folder), "--include-dashboard", "false"]
        self._ray(host, place, cpus, more)
        return address

    def ray_node(self, host: Host, cpus: int = 1, **more: str) -> None:
        """Attach a host to the cluster."""
        head = self.hosts[0].address
        place = ["--address", f"{head}:{self.port}", "--node-ip-address", host.address]
        self._ray(host, place, cpus, more)

    def _ray(self, host: Host, place: list[str], cpus: int, more: dict[str, str]) -> None:
        quiet = ["--disable-usage-stats"]
        ports = ["--min-worker-port", "0", "--max-worker-port", "0"]
        command = [RAY, "start", *place, "--num-cpus", str(cpus), *quiet, *ports]
        log = self.folder / f"ray-{host.mark}.log"
        for _ in range(TRIES):
            # Ray gives its own processes half a minute, which a busy machine may not.
            if self.start(host, command, log, **more).wait(SECONDS_TO_START) == 0:
                return
            host.kill()
        raise AssertionError(log.read_text())


def _hiding(folders: Sequence[Path]) -> list[str]:
    """Return what a command begins with that shall not see what is in folders."""
    if not folders:
        return []
    mounts = "; ".join(f"mount -t tmpfs none {shlex.quote(str(folder))}" for folder in folders)
    return ["unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh"]


def wait_until(condition: object, seconds: float, what: str) -> None:
    """Wait until a function returns something true.

    Raises:
        AssertionError: If it does not in time; ``what`` says what was waited for.
    """
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"no {what} within {seconds:.0f} s"
        time.sleep(0.2)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
