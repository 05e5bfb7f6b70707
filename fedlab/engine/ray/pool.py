"""Ray workers that share out calls: a worker that dies is replaced, and its calls are run again."""

from __future__ import annotations

import logging
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlab.errors import FedlabError

logger = logging.getLogger(__name__)

Call = tuple[str, tuple[Any, ...]]
"""A worker's method and its arguments."""
TRIES = 3
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


@dataclass
class _Pending:
    number: int
    tries: int = 0


class RayPool:
    """The workers of one engine.

    Args:
        ray: The module.
        workers: Actor handles that there are already.
        count: How many workers there shall be.
        start: Starts a worker, given the file for its crash log.
        parent: Where the folder of crash logs is made; None: where temporary files are.
    """

    def __init__(
        self,
        ray: Any,
        workers: Sequence[Any],
        count: int,
        start: Callable[[Any, str], Any],
        parent: Path | None = None,
    ) -> None:
        self._ray = ray
        self._start = start
        self._folder = tempfile.TemporaryDirectory(
            prefix="fedlab-crash-logs-", dir=parent, ignore_cleanup_errors=True
        )
        early = [*workers[:count], *[None] * (count - len(workers))]
        self.actors = [start(worker, self._crash_log(slot)) for slot, worker in enumerate(early)]

    def _crash_log(self, slot: int) -> str:
        return str(Path(self._folder.name) / f"{slot}.txt")

    def run(
        self,
        count: int,
        call_of: Callable[[int], Call],
        began: Callable[[int], None] = lambda number: None,
    ) -> Iterator[tuple[int, Any]]:
        """Run calls on free workers; yield each one's number and what it returned, or its error.

        Args:
            count: How many calls.
            call_of: Puts a call together, right before it is sent out.
            began: Called with a call's number when a worker turns to it.
        """
        waiting = deque(_Pending(number) for number in range(count))
        queues: list[dict[Any, _Pending]] = [{} for _ in self.actors]
        while waiting or any(queues):
            self._fill(queues, waiting, call_of, began)
            under_way = [reference for queue in queues for reference in queue]
            done = self._ray.wait(under_way, num_returns=1)[0][0]
            slot = next(slot for slot, queue in enumerate(queues) if done in queue)
            head = next(iter(queues[slot]))
            for call, outcome in self._outcomes(queues[slot], done):
                if not isinstance(outcome, _Died):
                    yield call.number, outcome
                    continue
                error = self._retry_or_give_up(slot, call, outcome)
                if error is None:
                    waiting.appendleft(call)
                else:
                    yield call.number, error
            turned_to = next(iter(queues[slot]), head)
            if turned_to is not head:
                began(queues[slot][turned_to].number)

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
            reference = getattr(self.actors[slot], method).remote(*arguments)
            if not queues[slot]:
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
        from ray.exceptions import RayActorError, RayError

        try:
            return self._ray.get(reference)
        except RayActorError as error:
            return _Died(error)
        except RayError as error:
            return error

    def _retry_or_give_up(self, slot: int, call: _Pending, death: _Died) -> WorkerLost | None:
        """Replace a dead worker; return why its call is given up, or None if it is to run again."""
        trace = self._replace_if_dead(slot)
        if not death.was_running:
            return None
        if trace:
            return WorkerLost("the client could not be stopped in time", trace, hung=True)
        call.tries += 1
        if call.tries < TRIES:
            return None
        kind = type(death.error).__name__
        return WorkerLost(f"the worker was lost {TRIES} times: {kind}", str(death.error))

    def _replace_if_dead(self, slot: int) -> str:
        """Start a new worker where one died, once for all its calls; return its crash log."""
        from ray.exceptions import RayActorError

        try:
            self._ray.get(self.actors[slot].ping.remote())
        except RayActorError:
            path = Path(self._crash_log(slot))
            trace = path.read_text() if path.exists() else ""
            path.unlink(missing_ok=True)
            logger.warning("a worker process was lost; its clients are run again")
            self.actors[slot] = self._start(None, str(path))
            return trace
        return ""

    def on_each(self, method: str, *arguments: Any) -> None:
        """Call a method of every worker."""
        self._ray.get([getattr(actor, method).remote(*arguments) for actor in self.actors])

    def close(self) -> None:
        """End the workers."""
        for actor in self.actors:
            self._ray.kill(actor)
        self._folder.cleanup()


@dataclass
class _Died:
    error: Exception
    was_running: bool = False
