"""The nodes of a Ray cluster: which there are, what they have room for, which have gone."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fedlab.engine.ray.capacity import GIGABYTE, fitting
from fedlab.engine.ray.places import Node, RayLost
from fedlab.errors import FedlabError

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_WITHOUT_ANSWER = 30.0
"""After a minute Ray's native code would end this process without a word."""
SECONDS_WITHOUT_NODES = 60.0
"""A node may come back, or another join."""
SECONDS_TO_BEGIN = 120.0
"""What a run waits for the answers of all nodes, where one of them can be used already."""
SECONDS_TO_LOOK = 300.0
"""What a node has to say what it has, on a machine that is busy with others."""


class Look(Protocol):
    """How nodes are looked at before anything runs there."""

    def begin(self, node: str, name: str) -> None:
        """Begin to look at a node."""

    def findings(self) -> dict[str, str]:
        """Return the nodes that were looked at since, and what each lacks, or nothing."""

    def end(self, node: str) -> None:
        """Forget a node that has gone, or is not used."""


@dataclass(frozen=True)
class Room:
    """What one node has.

    Attributes:
        name: What to call it.
        workers: How many workers fit there.
        cpus: Its CPUs.
        gpus: Its GPUs.
        memory: Its memory, in bytes.
    """

    name: str
    workers: int
    cpus: float
    gpus: float
    memory: float = 0.0


class Cluster:
    """Places for workers on the nodes of a cluster.

    A thread asks Ray for its nodes, so that nobody waits where the head does not answer.

    Args:
        ray: The module.
        options: What Ray reserves for a worker: ``num_cpus``, ``num_gpus`` and ``memory``.
        most: How many workers there may be; None: as many as fit.
        look: How nodes are looked at before they are used.
        home: The id of the node that this process is attached to, or None.
    """

    def __init__(
        self, ray: Any, options: Mapping[str, float], most: int | None, look: Look, home: Node
    ) -> None:
        self._ray = ray
        self._options = options
        self._most = most
        self._look = look
        self._home = home
        self._rooms: dict[str, Room] = {}
        self._names: dict[str, str] = {}
        self._looking: dict[str, float] = {}
        self._ready: set[str] = set()
        self._left_out: dict[str, str] = {}
        self._has_begun = False
        self._answered = self._had_nodes = time.monotonic()
        self._listed: list[dict[str, Any]] = ray.nodes()
        self._is_over = threading.Event()
        threading.Thread(target=self._ask, daemon=True, name="ray-nodes").start()

    def _ask(self) -> None:
        while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
            try:
                self._listed = self._ray.nodes()
            except Exception:  # whatever it is, the head has not answered
                logger.debug("the nodes of the cluster cannot be listed", exc_info=True)
            else:
                self._answered = time.monotonic()

    def close(self) -> None:
        """End the thread."""
        self._is_over.set()

    def settle(self) -> int:
        """Wait until nodes were looked at; return how many workers there will be.

        A node that takes its time joins later, where others can be used.

        Raises:
            FedlabError: If no node can be used.
        """
        self.check()
        until = time.monotonic() + SECONDS_TO_BEGIN
        while self._looking and not (self._ready and time.monotonic() > until):
            time.sleep(SECONDS_BETWEEN_LOOKS / 5)
            self.check()
        self._has_begun = True
        if not self._ready:
            raise FedlabError(f"engine.address: {self._no_node()}")
        fit = sum(self._rooms[node].workers for node in (*self._ready, *self._looking))
        if self._most is not None and self._most > fit:
            rooms = self._rooms.values()
            cpus, gpus = sum(room.cpus for room in rooms), sum(room.gpus for room in rooms)
            memory = sum(room.memory for room in rooms) / GIGABYTE
            has = f"{cpus:g} CPUs and {gpus:g} GPUs"
            raise FedlabError(
                f"engine.workers: {self._most} workers of {self._needs()} do not fit on this "
                f"cluster's {has}{f' and {memory:.1f} GB' if self._options.get('memory') else ''}; "
                f"at most {fit}"
            )
        return self._most or fit

    def check(self) -> None:
        """Take note of nodes that have come and gone.

        Raises:
            RayLost: If the cluster does not answer, or has had no node to run clients on for long.
        """
        now = time.monotonic()
        silent = now - self._answered
        if silent > SECONDS_WITHOUT_ANSWER:
            raise RayLost(f"the head of the Ray cluster has not answered for {silent:.0f} s")
        alive = {node["NodeID"]: node for node in self._listed if node["Alive"]}
        if self._home is not None and self._home not in alive:
            raise RayLost("the Ray node that this run is attached to has ended")
        for node in list(self._rooms):
            if node not in alive:
                self._forget(node)
        for node, listed in alive.items():
            self._meet(node, listed)
        self._take_findings(now)
        if self._ready or self._looking:
            self._had_nodes = now
        elif self._has_begun and now - self._had_nodes > SECONDS_WITHOUT_NODES:
            raise RayLost(
                f"no node has been left to run clients for {SECONDS_WITHOUT_NODES:.0f} s: "
                + self._no_node()
            )

    def _meet(self, node: str, listed: Mapping[str, Any]) -> None:
        """Begin to look at a node that is new, and has room for workers."""
        if node in self._rooms or node in self._left_out:
            return
        room = self._room(node, listed)
        self._names[node] = room.name
        self._rooms[node] = room
        if room.workers:
            self._looking[node] = time.monotonic()
            self._look.begin(node, room.name)

    def _take_findings(self, now: float) -> None:
        for node, lack in self._look.findings().items():
            if self._looking.pop(node, None) is None:
                continue
            if lack:
                self.leave_out(node, lack)
                continue
            self._ready.add(node)
            if self._has_begun:
                count = self._rooms[node].workers
                logger.warning("%s has joined, with room for %d workers", self.name(node), count)
        for node, since in list(self._looking.items()):
            if now - since > SECONDS_TO_LOOK:
                self.leave_out(node, f"it did not answer within {SECONDS_TO_LOOK:.0f} s")

    def _room(self, node: str, listed: Mapping[str, Any]) -> Room:
        has = listed["Resources"]
        cpus, gpus = has.get("CPU", 0.0), has.get("GPU", 0.0)
        workers = int(cpus / self._options["num_cpus"] + 1e-9)
        share = self._options["num_gpus"]
        if share:
            workers = min(workers, fitting(gpus, share))
        memory, needed = has.get("memory", 0.0), self._options.get("memory", 0.0)
        if needed:
            workers = min(workers, int(memory / needed + 1e-9))
        return Room(_called(listed), workers, cpus, gpus, memory)

    def _forget(self, node: str) -> None:
        del self._rooms[node]
        if node in self._ready:
            self._ready.discard(node)
            left = sum(self._rooms[other].workers for other in self._ready)
            logger.warning(
                "%s is gone: its clients are run again elsewhere; room is left for %d workers",
                self.name(node),
                left,
            )
        self._looking.pop(node, None)
        self._look.end(node)

    def vacancies(self, taken: Counter[Node]) -> list[Node]:
        """Return a node for each worker that may be started, the emptiest ones first."""
        free = {node: self._rooms[node].workers - taken[node] for node in sorted(self._ready)}
        count = sum(max(0, left) for left in free.values())
        if self._most is not None:
            count = min(count, self._most - taken.total())
        vacant: list[Node] = []
        for _ in range(count):
            node = max(free, key=lambda name: free[name] / self._rooms[name].workers)
            free[node] -= 1
            vacant.append(node)
        return vacant

    def is_gone(self, node: Node) -> bool:
        """Return whether a node has gone, or is left out."""
        return node not in self._ready

    def name(self, node: Node) -> str:
        """Return what to call a node in messages."""
        return self._names.get(node or "", "a node")

    def leave_out(self, node: Node, reason: str) -> None:
        """Use a node no more; say why."""
        if node is None or node in self._left_out:
            return
        self._left_out[node] = reason
        self._ready.discard(node)
        self._looking.pop(node, None)
        self._look.end(node)
        logger.warning("%s is left out: %s", self.name(node), reason)

    def _no_node(self) -> str:
        """Return why there is no node to run clients on."""
        reasons = [f"{self.name(node)}: {why}" for node, why in self._left_out.items()]
        if reasons:
            return f"no node of the cluster can run clients ({'; '.join(reasons)})"
        return f"no node of the cluster has room for a worker of {self._needs()}"

    def _needs(self) -> str:
        """Return what a worker needs, in words."""
        needs = [f"{self._options['num_cpus']:g} CPUs"]
        if self._options["num_gpus"]:
            needs.append(f"{self._options['num_gpus']:g} GPUs")
        if self._options.get("memory"):
            needs.append(f"{self._options['memory'] / GIGABYTE:g} GB")
        return " and ".join(needs)


def _called(listed: Mapping[str, Any]) -> str:
    """Return what to call a node: its machine, and where several share one, its id."""
    host, address = listed["NodeManagerHostname"], listed["NodeManagerAddress"]
    return f"node {host} ({address}, {listed['NodeID'][:6]})"
