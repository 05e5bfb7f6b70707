"""Ray workers that share out calls: a worker that dies is replaced, and its calls are run again."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.engine.ray.own import is_stopped
from fedlab.errors import EngineFault, FedlabError

logger = logging.getLogger(__name__)

Call = tuple[str, tuple[Any, ...]]
"""A worker's method and its arguments."""
TRIES = 3
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_COME_UP = 300.0
"""What a worker has to load all it needs; on a busy machine that has taken a minute."""
SECONDS_TO_FETCH = 300.0
"""What the result of a call that is done has to arrive in."""
SECONDS_STOPPED = 15.0
"""After this time a worker that is stopped by a signal is taken for lost."""
CALLS_IN_FLIGHT = 2
"""Of a worker: one under way and one waiting, so that none idles."""


class WorkerLost(FedlabError):
    """A call whose worker died each time it was tried.

    Attributes:
        trace: Where the worker stood, if it could write that down.
        hung: Whether it was ended since a client took too long and could not be stopped.
    """

    def __init__(self, reason: str, trace: str = "", hung: bool = False) -> None:
        super().__init__(reason)
        self.trace = trace
        self.hung = hung


class RayLost(EngineFault):
    """A process of Ray's has ended: nothing runs any more."""


@dataclass
class _Pending:
    number: int
    tries: int = 0


@dataclass
class _Worker:
    """One worker's process, as far as the engine knows it.

    Attributes:
        actor: Its handle.
        coming: A reference to its number, which is there once it is ready for work; then None.
        process: Its number, where it runs on this machine.
        since: When it turned to what it does now.
        stopped: Since when it has been stopped.
        overdue: Why it was ended, if it was.
    """

    actor: Any
    coming: Any
    process: int | None = None
    since: float = field(default_factory=time.monotonic)
    stopped: float | None = None
    overdue: str = ""


class RayPool:
    """The workers of one engine.

    Args:
        ray: The module.
        workers: Actor handles that there are already.
        count: How many workers there shall be.
        start: Prepares a worker, or starts one, given its place and the file for its crash log.
        parent: Where the folder of crash logs is made; None: where temporary files are.
        lost: Returns which of Ray's own processes has ended, or None.
        is_local: Whether workers run on this machine.
    """

    def __init__(
        self,
        ray: Any,
        workers: Sequence[Any],
        count: int,
        start: Callable[[Any, int, str], Any],
        parent: Path | None = None,
        lost: Callable[[], str | None] = lambda: None,
        is_local: bool = True,
    ) -> None:
        self._ray = ray
        self._start = start
        self._folder = tempfile.TemporaryDirectory(
            prefix="fedlab-crash-logs-", dir=parent, ignore_cleanup_errors=True
        )
        self._lost = lost
        self._is_local = is_local
        early = [*workers[:count], *[None] * (count - len(workers))]
        self._workers = [self._begin(slot, worker) for slot, worker in enumerate(early)]

    @property
    def actors(self) -> list[Any]:
        """Return the workers' handles."""
        return [worker.actor for worker in self._workers]

    def _begin(self, slot: int, early: Any = None) -> _Worker:
        actor = self._start(early, slot, self._crash_log(slot))
        return _Worker(actor, actor.ping.remote())

    def _crash_log(self, slot: int) -> str:
        return str(Path(self._folder.name) / f"{slot}.txt")

    def run(
        self,
        count: int,
        call_of: Callable[[int], Call],
        began: Callable[[int], None] = lambda number: None,
        limit_of: Callable[[int], float | None] = lambda number: None,
    ) -> Iterator[tuple[int, Any]]:
        """Run calls on free workers; yield each one's number and what it returned, or its error.

        Args:
            count: How many calls.
            call_of: Puts a call together, right before it is sent out.
            began: Called with a call's number when a worker turns to it.
            limit_of: Returns how many seconds a call may take; a worker that takes longer is ended.

        Raises:
            RayLost: If Ray itself has ended.
        """
        waiting = deque(_Pending(number) for number in range(count))
        queues: list[dict[Any, _Pending]] = [{} for _ in self._workers]
        while waiting or any(queues):
            self._fill(queues, waiting, call_of, began)
            done = self._next_done(queues, limit_of)
            slot = next(slot for slot, queue in enumerate(queues) if done in queue)
            head = next(iter(queues[slot]))
            worker = self._workers[slot]
            for call, outcome in self._outcomes(queues[slot], done):
                if not isinstance(outcome, _Died):
                    yield call.number, outcome
                    continue
                error = self._retry_or_give_up(slot, worker, call, outcome)
                if error is None:
                    waiting.appendleft(call)
                else:
                    yield call.number, error
            turned_to = next(iter(queues[slot]), head)
            if turned_to is not head:
                self._workers[slot].since = time.monotonic()
                began(queues[slot][turned_to].number)

    def _next_done(
        self, queues: Sequence[dict[Any, _Pending]], limit_of: Callable[[int], float | None]
    ) -> Any:
        """Wait for a call that is done; meanwhile end workers that take too long."""
        under_way = [reference for queue in queues for reference in queue]
        self._check_ray()
        while True:
            coming = [worker.coming for worker in self._workers if worker.coming is not None]
            done = self._ray.wait(
                [*under_way, *coming], num_returns=1, timeout=SECONDS_BETWEEN_LOOKS
            )[0]
            if done and done[0] not in coming:
                return done[0]
            for worker in self._workers:
                if done and worker.coming is done[0]:
                    self._is_up(worker)
            if not done:
                self._look(queues, limit_of)

    def _is_up(self, worker: _Worker) -> None:
        """Note that a worker is ready, or has ended on its way there."""
        answer = self._get(worker.coming)
        worker.coming, worker.since = None, time.monotonic()
        if self._is_local and isinstance(answer, int):
            worker.process = answer

    def _look(
        self, queues: Sequence[dict[Any, _Pending]], limit_of: Callable[[int], float | None]
    ) -> None:
        """End the workers that do not answer in time."""
        self._check_ray()
        now = time.monotonic()
        for worker, queue in zip(self._workers, queues, strict=True):
            if not queue or worker.overdue:
                continue
            limit = limit_of(next(iter(queue.values())).number)
            if worker.coming is not None:
                limit = SECONDS_TO_COME_UP
            is_still = worker.process is not None and is_stopped(worker.process)
            worker.stopped = (worker.stopped or now) if is_still else None
            if worker.stopped is not None and now - worker.stopped > SECONDS_STOPPED:
                self._end(worker, "its process was stopped from outside")
            elif limit is not None and now - worker.since > limit:
                self._end(worker, f"its process did not answer within {limit:.0f} s")

    def _end(self, worker: _Worker, why: str) -> None:
        """End a worker; its calls come back as those of one that has died."""
        worker.overdue = why
        if worker.process is not None:
            with suppress(OSError):
                os.kill(worker.process, signal.SIGKILL)
        self._ray.kill(worker.actor)

    def _check_ray(self) -> None:
        lost = self._lost()
        if lost is not None:
            raise RayLost(f"{lost}, and the workers with it")

    def _fill(
        self,
        queues: list[dict[Any, _Pending]],
        waiting: deque[_Pending],
        call_of: Callable[[int], Call],
        began: Callable[[int], None],
    ) -> None:
        """Give calls to the workers that have the fewest."""
        load = [len(queue) for queue in queues]
        while waiting and min(load) < CALLS_IN_FLIGHT:
            slot = load.index(min(load))
            call = waiting.popleft()
            method, arguments = call_of(call.number)
            reference = getattr(self._workers[slot].actor, method).remote(*arguments)
            if not queues[slot]:
                self._workers[slot].since = time.monotonic()
                began(call.number)
            queues[slot][reference] = call
            load[slot] += 1

    def _outcomes(self, queue: dict[Any, _Pending], done: Any) -> Iterator[tuple[_Pending, Any]]:
        """Take what is done out of a worker's queue: one call or, of a dead worker, all of them.

        A worker runs calls in order, so of those that a dead one leaves behind only the first had
        begun.
        """
        outcome = self._get(done)
        if not isinstance(outcome, _Died):
            yield queue.pop(done), outcome
            return
        left, was_running = list(queue.items()), True
        queue.clear()
        for reference, call in left:
            outcome = self._get(reference)
            if isinstance(outcome, _Died):
                outcome.was_running, was_running = was_running, False
            yield call, outcome

    def _get(self, reference: Any) -> Any:
        from ray.exceptions import GetTimeoutError, RayActorError, RayError

        until = time.monotonic() + SECONDS_TO_FETCH
        while True:
            try:
                return self._ray.get(reference, timeout=SECONDS_BETWEEN_LOOKS)
            except RayActorError as error:
                return _Died(error)
            except GetTimeoutError as error:
                self._check_ray()
                if time.monotonic() > until:
                    return error
            except RayError as error:
                return error

    def _retry_or_give_up(
        self, slot: int, worker: _Worker, call: _Pending, death: _Died
    ) -> WorkerLost | None:
        """Replace a dead worker; return why its call is given up, or None if it is to run again."""
        trace = self._replace_if_dead(slot, worker)
        if not death.was_running:
            return None
        if worker.overdue and worker.stopped is None:
            return WorkerLost(f"the client took too long, and {worker.overdue}", trace, hung=True)
        if trace:
            return WorkerLost("the client could not be stopped in time", trace, hung=True)
        call.tries += 1
        if call.tries < TRIES:
            return None
        kind = type(death.error).__name__
        return WorkerLost(f"the worker was lost {TRIES} times: {kind}", str(death.error))

    def _replace_if_dead(self, slot: int, worker: _Worker) -> str:
        """Start a new worker where one died, once for all its calls; return its crash log."""
        if self._workers[slot] is not worker:
            return ""
        if not worker.overdue and isinstance(self._get(worker.actor.ping.remote()), int):
            return ""
        path = Path(self._crash_log(slot))
        trace = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        why = f" ({worker.overdue})" if worker.overdue else ""
        logger.warning("a worker process was lost%s; its clients are run again", why)
        self._workers[slot] = self._begin(slot)
        return trace

    def prepare_again(self) -> None:
        """Let every worker get ready anew, for what has changed."""
        for slot, worker in enumerate(self._workers):
            self._start(worker.actor, slot, self._crash_log(slot))

    def on_each(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every worker; return what each returned, or its error."""
        asked = [getattr(actor, method).remote(*arguments) for actor in self.actors]
        return [self._get(reference) for reference in asked]

    def close(self) -> None:
        """End the workers."""
        if self._lost() is None:
            for actor in self.actors:
                self._ray.kill(actor)
        self._folder.cleanup()


@dataclass
class _Died:
    error: Exception
    was_running: bool = False
