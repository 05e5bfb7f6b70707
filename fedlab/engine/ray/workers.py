"""The worker processes of a pool: started where there is room, watched, ended, replaced."""

from __future__ import annotations

import logging
import math
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.engine.ray.outcomes import TRIES, Lost, Pending, in_one_line
from fedlab.engine.ray.own import is_stopped
from fedlab.engine.ray.places import Node, Places, RayLost

logger = logging.getLogger(__name__)

SECONDS_TO_COME_UP = 300.0
"""What a worker has to load all it needs; on a busy machine that has taken a minute."""
SECONDS_TO_RECOVER = 2.0
"""After which a worker is started on a node of a cluster that has lost one."""
SECONDS_STOPPED = 15.0
"""After this time a worker that is stopped by a signal is taken for lost."""


@dataclass(frozen=True)
class WorkerPlace:
    """What a worker is started with.

    Attributes:
        slot: Its number among the workers of its time, which decides about its device.
        node: Where it runs.
        crash_log: The file that it writes to before it ends itself.
    """

    slot: int
    node: Node
    crash_log: str


Start = Callable[[Any, WorkerPlace], Any]
"""Prepares a worker that is there, or starts one."""


@dataclass(eq=False)
class Member:
    """One worker's process, as far as the engine knows it.

    Attributes:
        actor: Its handle.
        place: What it was started with.
        coming: A reference to its number, which is there once it is ready for work; then None.
        calls: What it was given and has not answered, in order.
        process: Its number, where it runs on this machine.
        begun: When it was started.
        since: When it turned to what it does now.
        stopped: Since when it has been stopped.
        overdue: Why it was ended, if it was.
    """

    actor: Any
    place: WorkerPlace
    coming: Any
    calls: dict[Any, Pending] = field(default_factory=dict)
    process: int | None = None
    begun: float = field(default_factory=time.monotonic)
    since: float = field(default_factory=time.monotonic)
    stopped: float | None = None
    overdue: str = ""

    @property
    def node(self) -> Node:
        """Return where it runs."""
        return self.place.node


class Workers:
    """The workers of one engine.

    A node where a worker was lost is *in doubt*: Ray may take seconds to notice that a node has
    died, and whatever is given to workers there meanwhile is lost, too. The doubt ends when another
    worker has come up there, or with the node.

    Args:
        ray: The module.
        early: Actor handles that there are already.
        places: Where workers may run.
        start: Prepares a worker, or starts one.
        parent: Where the folder of crash logs is made; None: where temporary files are.
        is_local: Whether workers run on this machine.

    Attributes:
        members: The workers.
        places: Where workers may run.
    """

    def __init__(
        self,
        ray: Any,
        early: Sequence[Any],
        places: Places,
        start: Start,
        parent: Path | None,
        is_local: bool,
    ) -> None:
        self._ray = ray
        self._start = start
        self._early = list(early)
        self._is_local = is_local
        self._folder = tempfile.TemporaryDirectory(
            prefix="fedlab-crash-logs-", dir=parent, ignore_cleanup_errors=True
        )
        self._doubted: dict[Node, float] = {}
        self._failed_starts: Counter[Node] = Counter()
        self._not_before: dict[Node, float] = {}
        self._last_able = time.monotonic()
        self.places = places
        self.members: list[Member] = []
        self.fill_places()
        self._early = []

    def begin(self) -> None:
        """Begin a run of calls; what one that was given up has left is forgotten."""
        self._last_able = time.monotonic()
        for member in self.members:
            member.calls = {}

    def fill_places(self) -> None:
        """Start a worker wherever there is room for one."""
        taken = Counter(member.node for member in self.members)
        for node in self.places.vacancies(taken):
            if time.monotonic() >= self._not_before.get(node, 0.0):
                self.members.append(self._begin(node))

    def _begin(self, node: Node) -> Member:
        used = {member.place.slot for member in self.members}
        slot = next(n for n in range(len(used) + 1) if n not in used)
        place = WorkerPlace(slot, node, str(Path(self._folder.name) / f"{slot}.txt"))
        actor = self._start(self._early.pop(0) if self._early else None, place)
        return Member(actor, place, actor.ready.remote())

    def keep(self, count: int) -> None:
        """End all workers but the first ones."""
        for member in sorted(self.members, key=lambda member: member.place.slot)[count:]:
            self.members.remove(member)
            self._ray.kill(member.actor)

    def gone(self) -> list[Member]:
        """Take out the workers of nodes that have gone, and return them."""
        lost = [member for member in self.members if self.places.is_gone(member.node)]
        for member in lost:
            self._doubted.pop(member.node, None)
            self.members.remove(member)
            self._ray.kill(member.actor)
        return lost

    def is_in_doubt(self, node: Node) -> bool:
        """Return whether a node may have died; this machine has not."""
        return node in self._doubted and not self.places.is_gone(node)

    def may_work(self, member: Member) -> bool:
        """Return whether a worker may be given calls."""
        if member.overdue or self.is_in_doubt(member.node):
            return False
        return self._is_local or member.coming is None

    def came_up(self, member: Member, process: object) -> None:
        """Note that a worker is ready."""
        member.coming, member.since = None, time.monotonic()
        self._failed_starts.pop(member.node, None)
        if self._is_local and isinstance(process, int):
            member.process = process
        if self._doubted.get(member.node, math.inf) <= member.begun:
            del self._doubted[member.node]
            logger.warning(
                "a worker process was lost on %s, which goes on; its clients are run again",
                self.places.name(member.node),
            )

    def dismiss(self, member: Member, lost: Lost) -> str:
        """Take out a worker that is lost, in whose place another may start.

        Args:
            member: The worker.
            lost: How it was lost.

        Returns:
            What it has written to its crash log.

        Raises:
            RayLost: If workers do not start on this machine.
        """
        self.end(member, member.overdue)
        self.members.remove(member)
        if member.node is not None:
            self._doubted[member.node] = time.monotonic()
            self._not_before[member.node] = time.monotonic() + SECONDS_TO_RECOVER
        reason = member.overdue or in_one_line(lost.error)
        if lost.is_unfit:
            self.places.leave_out(member.node, reason)
        elif member.coming is not None:
            self._failed_starts[member.node] += 1
            if self._failed_starts[member.node] >= TRIES:
                self.places.leave_out(member.node, f"{TRIES} workers did not start ({reason})")
        path = Path(member.place.crash_log)
        trace = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return trace

    def end(self, member: Member, why: str) -> None:
        """End a worker; its calls come back as those of one that has died."""
        member.overdue = why
        if member.process is not None:
            with suppress(OSError):
                os.kill(member.process, signal.SIGKILL)
        self._ray.kill(member.actor)

    def look(self, limit_of: Callable[[int], float | None]) -> None:
        """End the workers that do not answer in time.

        Args:
            limit_of: Returns how many seconds a call may take.

        Raises:
            RayLost: If no worker has come up for too long.
        """
        now = time.monotonic()
        for member in self.members:
            if not member.overdue:
                self._look_at(member, now, limit_of)
        if any(member.calls or self.may_work(member) for member in self.members):
            self._last_able = now
        elif now - self._last_able > SECONDS_TO_COME_UP:
            # While others work, a worker may wait for a CPU that somebody else uses.
            where = ", ".join(sorted({self.places.name(member.node) for member in self.members}))
            raise RayLost(
                f"no worker has come up within {SECONDS_TO_COME_UP:.0f} s on {where or 'any node'};"
                " others may be using the CPUs ('ray status' shows that)"
            )

    def _look_at(self, member: Member, now: float, limit_of: Callable[[int], float | None]) -> None:
        if member.coming is not None:
            limit = SECONDS_TO_COME_UP if self._is_local else None
        elif member.calls:
            limit = limit_of(next(iter(member.calls.values())).number)
        else:
            return
        is_still = member.process is not None and is_stopped(member.process)
        member.stopped = (member.stopped or now) if is_still else None
        if member.stopped is not None and now - member.stopped > SECONDS_STOPPED:
            self.end(member, "its process was stopped from outside")
        elif limit is not None and now - member.since > limit:
            self.end(member, f"its process did not answer within {limit:.0f} s")

    def close(self, is_lost: bool) -> None:
        """End the workers.

        Args:
            is_lost: Whether Ray itself has ended.
        """
        if not is_lost:
            for member in self.members:
                self._ray.kill(member.actor)
        self._folder.cleanup()
