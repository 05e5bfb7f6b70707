"""Ray workers that share out calls: what a process, a node or the network loses, runs again."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fedlab.engine.ray.outcomes import Loss, Lost, Pending, WorkerLost, in_one_line, outcome_of
from fedlab.engine.ray.places import Places, RayLost
from fedlab.engine.ray.workers import Member, Start, Workers
from fedlab.errors import FedlabError

logger = logging.getLogger(__name__)

Call = tuple[str, tuple[Any, ...]]
"""A worker's method and its arguments."""
SECONDS_BETWEEN_LOOKS = 0.25
SECONDS_TO_FETCH = 300.0
"""What the result of a call that is done has to arrive in."""
CALLS_IN_FLIGHT = 2
"""Of a worker: one under way and one waiting, so that none idles."""


class RayPool:
    """The workers of one engine, and the calls that they share out.

    Args:
        ray: The module.
        workers: Actor handles that there are already.
        places: Where workers may run.
        start: Prepares a worker, or starts one, given what it is started with.
        parent: Where the folder of crash logs is made; None: where temporary files are.
        lost: Returns which of Ray's own processes has ended, or None.
        is_local: Whether workers run on this machine.
    """

    def __init__(
        self,
        ray: Any,
        workers: Sequence[Any],
        places: Places,
        start: Start,
        parent: Path | None = None,
        lost: Callable[[], str | None] = lambda: None,
        is_local: bool = True,
    ) -> None:
        self._ray = ray
        self._start = start
        self._places = places
        self._lost = lost
        self._is_local = is_local
        self._workers = Workers(ray, workers, places, start, parent, is_local)

    @property
    def actors(self) -> list[Any]:
        """Return the workers' handles."""
        return [member.actor for member in self._workers.members]

    def run(
        self,
        count: int,
        call_of: Callable[[int], Call],
        began: Callable[[int], None] = lambda number: None,
        limit_of: Callable[[int], float | None] = lambda number: None,
    ) -> Iterator[tuple[int, Any]]:
        """Run calls on free workers; yield each one's number and what it returned.

        A call that is lost with its worker, or meets an error of Ray's, of the network or of
        anything else beside its clients, is run again. Where that happens each time, on nodes that
        are still there, its outcome is a ``WorkerLost`` or a ``SystemFault``.

        Args:
            count: How many calls.
            call_of: Puts a call together, right before it is sent out.
            began: Called with a call's number when a worker turns to it.
            limit_of: Returns how many seconds a call may take; a worker that takes longer is ended.

        Raises:
            RayLost: If Ray itself has ended, or no node is left.
            EngineFault: If a worker says that the run cannot go on.
        """
        waiting = deque(Pending(number) for number in range(count))
        self._workers.begin()
        while waiting or any(member.calls for member in self._workers.members):
            self._muster(waiting)
            for call, verdict in self._given_up(waiting):
                yield call.number, verdict
            self._fill(waiting, call_of, began)
            for call, outcome in self._next_outcomes(waiting, began, limit_of):
                yield call.number, outcome

    def _muster(self, waiting: deque[Pending]) -> None:
        """Let workers go whose nodes have gone, and start others where there is room."""
        self._check_ray()
        self._places.check()
        for member in self._workers.gone():
            waiting.extendleft(reversed(member.calls.values()))
        self._workers.fill_places()

    def _given_up(self, waiting: deque[Pending]) -> list[tuple[Pending, FedlabError]]:
        """Take out the calls that are lost each time, once it is certain that nodes are not."""
        given_up = []
        for call in list(waiting):
            call.losses = [loss for loss in call.losses if not self._places.is_gone(loss.node)]
            verdict = call.verdict
            doubtful = any(self._workers.is_in_doubt(loss.node) for loss in call.losses)
            if verdict is not None and not doubtful:
                waiting.remove(call)
                given_up.append((call, verdict))
        return given_up

    def _fill(
        self,
        waiting: deque[Pending],
        call_of: Callable[[int], Call],
        began: Callable[[int], None],
    ) -> None:
        """Give calls to the workers that have the fewest.

        A call that was lost before has a worker for itself: which of several calls a worker died of
        is not certain where it did one and did not get round to saying so.
        """
        free = [member for member in self._workers.members if self._workers.may_work(member)]
        while (found := self._next_fit(waiting, free)) is not None:
            call, member = found
            waiting.remove(call)
            method, arguments = call_of(call.number)
            reference = getattr(member.actor, method).remote(*arguments)
            if not member.calls:
                member.since = time.monotonic()
                began(call.number)
            member.calls[reference] = call

    def _next_fit(
        self, waiting: deque[Pending], free: Sequence[Member]
    ) -> tuple[Pending, Member] | None:
        """Return the next call and the worker that takes it, or None where none fits."""
        calls = [call for call in waiting if call.verdict is None]
        most = 1 if any(call.losses for call in calls) else self._most(len(waiting), len(free))
        for call in calls:
            able = [m for m in free if len(m.calls) < most and _may_share(m, call)]
            if able:
                return call, min(able, key=lambda member: len(member.calls))
        return None

    def _most(self, waiting: int, free: int) -> int:
        """Return how many calls a worker may hold.

        Where workers differ in speed, none keeps the last ones from a faster one.
        """
        return CALLS_IN_FLIGHT if self._is_local or waiting > free else 1

    def _next_outcomes(
        self,
        waiting: deque[Pending],
        began: Callable[[int], None],
        limit_of: Callable[[int], float | None],
    ) -> Iterator[tuple[Pending, Any]]:
        """Wait a while for a worker; yield the calls that it has done.

        Calls that are lost go back to those that wait.
        """
        members = self._workers.members
        by_call = {reference: member for member in members for reference in member.calls}
        by_coming = {member.coming: member for member in members if member.coming is not None}
        done = self._wait([*by_call, *by_coming])
        if done is None:
            self._workers.look(limit_of)
            return
        member = by_call.get(done) or by_coming[done]
        outcome = self._get(done, member)
        if isinstance(outcome, Lost):
            yield from self._take_back(member, done, outcome, waiting)
        elif done in by_call:
            is_first = next(iter(member.calls)) == done
            yield member.calls.pop(done), outcome
            if is_first and member.calls:
                member.since = time.monotonic()
                began(next(iter(member.calls.values())).number)
        else:
            self._workers.came_up(member, outcome)

    def _wait(self, references: list[Any]) -> Any:
        """Return one that is done, or None after a while."""
        if not references:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            return None
        done = self._ray.wait(references, num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)[0]
        return done[0] if done else None

    def _take_back(
        self, member: Member, failed: Any, lost: Lost, waiting: deque[Pending]
    ) -> Iterator[tuple[Pending, Any]]:
        """Dismiss a worker; yield what it has done, and let its other calls wait again.

        A worker runs calls in order, so of those that it leaves behind only the first had begun.
        """
        calls, member.calls = member.calls, {}
        done: list[tuple[Pending, Any]] = []
        left: list[Pending] = []
        for reference, call in calls.items():
            outcome = lost if reference == failed else self._answer_of(reference, member)
            if isinstance(outcome, Lost):
                left.append(call)
            else:
                done.append((call, outcome))
        had_begun = member.coming is None or self._is_local
        trace = self._workers.dismiss(member, lost)
        if left and had_begun:
            left[0].losses.append(Loss(member.node, lost, _hung(member, trace)))
        waiting.extendleft(reversed(left))
        if member.coming is None and member.node is None:
            logger.warning(
                "a worker process was lost%s; its clients are run again", _why(member, lost)
            )
        yield from done

    def _answer_of(self, reference: Any, member: Member) -> Any:
        """Return what another call of a lost worker has answered, if it has."""
        if not self._ray.wait([reference], num_returns=1, timeout=SECONDS_BETWEEN_LOOKS)[0]:
            return Lost(RayLost("no answer"))
        return self._get(reference, member)

    def _get(self, reference: Any, member: Member) -> Any:
        """Return what a reference stands for, or what is known of a worker that was lost.

        Raises:
            RayLost: If Ray itself has ended.
            EngineFault: If the worker says that the run cannot go on.
        """
        from ray.exceptions import GetTimeoutError, RayError

        until = time.monotonic() + SECONDS_TO_FETCH
        while True:
            try:
                return self._ray.get(reference, timeout=SECONDS_BETWEEN_LOOKS)
            except GetTimeoutError as error:
                self._check_ray()
                self._places.check()
                if self._places.is_gone(member.node) or time.monotonic() > until:
                    return outcome_of(error, self._is_local)
            except (RayError, OSError) as error:
                return outcome_of(error, self._is_local)

    def _check_ray(self) -> None:
        lost = self._lost()
        if lost is not None:
            raise RayLost(f"{lost}, and the workers with it")

    def keep(self, count: int) -> None:
        """End all workers but the first ones; places that are left empty are filled when needed."""
        self._workers.keep(count)

    def prepare_again(self) -> None:
        """Let every worker get ready anew, for what has changed."""
        for member in self._workers.members:
            self._start(member.actor, member.place)

    def on_each(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every worker; return what each answers, or how it was lost.

        One that is lost is replaced when it is next needed.
        """
        members = self._workers.members
        asked = [(getattr(m.actor, method).remote(*arguments), m) for m in members]
        return [self._get(reference, member) for reference, member in asked]

    def close(self) -> None:
        """End the workers."""
        self._workers.close(self._lost() is not None)


def _may_share(member: Member, call: Pending) -> bool:
    """Return whether a worker may hold a call beside those that it has."""
    return not member.calls or not (call.losses or any(c.losses for c in member.calls.values()))


def _why(member: Member, lost: Lost) -> str:
    """Return why a worker was lost, in brackets, where more is known than that it died."""
    why = member.overdue or ("" if lost.has_died else in_one_line(lost.error))
    return f" ({why})" if why else ""


def _hung(member: Member, trace: str) -> WorkerLost | None:
    """Return why the call that a worker was at is given up, if its client could not be stopped."""
    if member.coming is None and member.overdue and member.stopped is None:
        return WorkerLost(f"the client took too long, and {member.overdue}", trace, hung=True)
    if trace:
        return WorkerLost("the client could not be stopped in time", trace, hung=True)
    return None
