"""Workers that die: their calls run again elsewhere, and only the call at fault is given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from fedlab.engine.ray.outcomes import TRIES, NotPrepared, SystemFault, WorkerLost
from fedlab.engine.ray.places import OneMachine, RayLost
from fedlab.engine.ray.pool import RayPool
from fedlab.engine.ray.workers import WorkerPlace
from fedlab.errors import EngineFault


class Reference:
    def __init__(self, actor: Actor, argument: Any) -> None:
        self.actor = actor
        self.argument = argument
        self.outcome: Any = None


class Actor:
    """A worker that does its calls in order, each when somebody waits."""

    def __init__(self, play: Callable[[Actor, Any], Any], last_words: str) -> None:
        self._play = play
        self.last_words = Path(last_words)
        self.queue: list[Reference] = []
        self.unheard: list[Reference] = []
        self.is_dead = False
        self.work, self.ready = self, _Ready(self)

    def remote(self, argument: Any) -> Reference:
        reference = Reference(self, argument)
        self.queue.append(reference)
        self.unheard.append(reference)
        return reference

    def step(self) -> None:
        """Do the first call; a call that kills its worker takes those that wait with it."""
        reference = self.queue[0]
        try:
            reference.outcome = self._play(self, reference.argument)
            self.queue.pop(0)
        except RayActorError as error:
            self.is_dead = True
            for lost in self.unheard if Ray.forgets else self.queue:
                lost.outcome = error
        except RayTaskError as error:
            reference.outcome = error
            self.queue.pop(0)
        except Stuck:
            pass


class Stuck(Exception):
    """The call does not return."""


class _Ready:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def remote(self) -> Reference:
        reference = Reference(self._actor, None)
        reference.outcome = RayActorError() if self._actor.is_dead else 1
        return reference


class Ray:
    """Stands for Ray, with actors that act when they are waited for."""

    in_order = False
    forgets = False
    """Whether a worker that dies takes answers with it that were not fetched yet."""

    def wait(
        self, references: Sequence[Reference], num_returns: int, timeout: float | None = None
    ) -> Any:
        actors = {id(reference.actor): reference.actor for reference in references}
        for actor in actors.values():
            if actor.queue and not actor.is_dead:
                actor.step()
        # The last one first: a dead worker's calls may be reported in any order.
        told = references if self.in_order else list(reversed(references))
        return [reference for reference in told if reference.outcome is not None][:1], []

    def get(self, reference: Reference, timeout: float | None = None) -> Any:
        reference.actor.unheard = [r for r in reference.actor.unheard if r is not reference]
        if isinstance(reference.outcome, Exception):
            raise reference.outcome
        return reference.outcome

    def kill(self, actor: Actor) -> None:
        actor.is_dead = True
        for lost in actor.queue:
            lost.outcome = RayActorError()


class Stage:
    """A pool of two workers and a record of what they were asked."""

    def __init__(self, deadly: dict[int, int], hung: Sequence[int] = ()) -> None:
        self.deadly = dict(deadly)
        self.hung = hung
        self.stuck: set[int] = set()
        self.lost: str | None = None
        self.begun: list[int] = []
        self.started = 0
        self.slots: list[int] = []
        self.pool = RayPool(Ray(), [], OneMachine(2), self._start, lost=lambda: self.lost)

    def _start(self, worker: Any, place: WorkerPlace) -> Actor:
        self.started += 1
        self.slots.append(place.slot)
        return Actor(self._play, place.crash_log)

    def _play(self, actor: Actor, number: int) -> str:
        if number in self.stuck:
            raise Stuck
        if self.deadly.get(number, 0):
            self.deadly[number] -= 1
            if number in self.hung:
                actor.last_words.write_text("most recent call first")
            raise RayActorError
        return f"answer {number}"

    def run(self, count: int) -> dict[int, Any]:
        outcomes = list(self.pool.run(count, lambda n: ("work", (n,)), self.begun.append))
        assert len(outcomes) == count
        return dict(outcomes)


def test_every_call_is_answered_once_and_reported_when_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage({})
    assert stage.run(7) == {number: f"answer {number}" for number in range(7)}
    assert len(set(stage.begun)) == len(stage.begun)
    monkeypatch.setattr(Ray, "in_order", True)
    stage.begun.clear()
    assert stage.run(7) == {number: f"answer {number}" for number in range(7)}
    assert sorted(stage.begun) == list(range(7))
    assert stage.started == 2


@pytest.mark.parametrize("deaths", [1, TRIES - 1])
def test_a_call_whose_worker_dies_runs_again(deaths: int) -> None:
    stage = Stage({2: deaths})
    assert stage.run(7) == {number: f"answer {number}" for number in range(7)}
    assert stage.started == 2 + deaths


def test_only_the_call_that_kills_every_worker_is_given_up() -> None:
    stage = Stage({0: 99, 1: 99})
    outcomes = stage.run(8)
    lost = {number for number, outcome in outcomes.items() if isinstance(outcome, WorkerLost)}
    assert lost == {0, 1}
    assert str(outcomes[0]) == f"the worker was lost {TRIES} times: RayActorError"
    assert not outcomes[0].hung
    assert stage.started == 2 + 2 * TRIES


def test_a_call_that_was_done_is_not_blamed_for_the_next_one_that_kills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ray, "forgets", True)
    stage = Stage({2: 99, 5: 99, 7: 99})
    outcomes = stage.run(12)
    lost = {number for number, outcome in outcomes.items() if isinstance(outcome, WorkerLost)}
    assert lost == {2, 5, 7}


def test_a_call_that_hung_is_given_up_with_where_it_stood() -> None:
    stage = Stage({3: 99, 4: 1}, hung=[3])
    outcomes = stage.run(6)
    assert [n for n, outcome in outcomes.items() if isinstance(outcome, WorkerLost)] == [3]
    assert outcomes[3].hung
    assert outcomes[3].trace == "most recent call first"
    assert stage.started == 4


def raising(errors: dict[int, list[Exception]]) -> RayPool:
    """Return a pool of two whose calls raise these errors, by number, before they answer."""

    def play(actor: Actor, number: int) -> int:
        if errors.get(number):
            raise RayTaskError("work", "a traceback", errors[number].pop())
        return number

    def start(worker: Any, place: WorkerPlace) -> Actor:
        return Actor(play, place.crash_log)

    return RayPool(Ray(), [], OneMachine(2), start)


@pytest.mark.parametrize("error", [OSError("Broken pipe"), ConnectionError(), ValueError("no")])
def test_an_error_around_the_clients_is_not_theirs_and_the_call_runs_again(
    error: Exception,
) -> None:
    pool = raising({1: [error] * (TRIES - 1)})
    assert dict(pool.run(3, lambda n: ("work", (n,)))) == {n: n for n in range(3)}


def test_an_error_that_comes_back_is_no_lost_worker() -> None:
    outcomes = dict(raising({1: [OSError("full")] * 9}).run(3, lambda n: ("work", (n,))))
    assert str(outcomes[1]) == f"OSError: full ({TRIES} times, on different workers)"
    assert isinstance(outcomes.pop(1), SystemFault)
    assert outcomes == {0: 0, 2: 2}


@pytest.mark.parametrize("fault", [EngineFault("changed in place"), NotPrepared("too large")])
def test_a_worker_that_says_so_ends_the_run(fault: EngineFault) -> None:
    with pytest.raises(EngineFault, match=f"^{fault}$"):
        dict(raising({1: [fault]}).run(3, lambda n: ("work", (n,))))


def test_a_worker_that_takes_too_long_is_ended_and_replaced() -> None:
    stage = Stage({})
    stage.stuck = {1}
    outcomes = dict(stage.pool.run(5, lambda n: ("work", (n,)), limit_of=lambda n: 0.0))
    lost = outcomes.pop(1)
    assert isinstance(lost, WorkerLost)
    assert str(lost) == "the client took too long, and its process did not answer within 0 s"
    assert outcomes == {n: f"answer {n}" for n in (0, 2, 3, 4)}
    assert stage.started == 3
    # The new one has the place of the one that it replaces, and so its device.
    assert stage.slots in ([0, 1, 0], [0, 1, 1])


def test_where_ray_itself_has_ended_nobody_waits_for_its_workers() -> None:
    stage = Stage({})
    stage.stuck, stage.lost = {1}, "Ray's process raylet has ended"
    with pytest.raises(RayLost, match="raylet has ended, and the workers with it"):
        stage.run(3)


def test_workers_that_are_there_already_are_taken_first() -> None:
    early = [object(), object(), object()]
    given: list[Any] = []

    def start(worker: Any, place: WorkerPlace) -> Actor:
        given.append(worker)
        return Actor(lambda actor, number: None, place.crash_log)

    RayPool(Ray(), early, OneMachine(2), start)
    assert given == early[:2]
    given.clear()
    RayPool(Ray(), early[:1], OneMachine(2), start)
    assert given == [early[0], None]
