"""What comes back from a worker: an answer, a fault of the run's, or a call to run again.

What a client's code raises is caught around it, within the worker, and is part of the worker's
answer. So whatever Ray raises here comes from what carries the clients: a process, a node, the
network, the object store. It is never the clients' failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fedlab.errors import EngineFault, FedlabError, described

TRIES = 3
"""So many workers a call takes with it, or errors it meets, before it is given up."""


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


class SystemFault(EngineFault):
    """A call that met an error beside its clients' code each time it was tried."""


class NotPrepared(EngineFault):
    """A worker cannot get ready for the scenario: something is missing, or does not fit."""


@dataclass(frozen=True)
class Lost:
    """No answer: the worker has died, or something around it has failed.

    Attributes:
        error: What Ray raised.
        has_died: Whether the worker's process has ended.
    """

    error: Exception
    has_died: bool = False

    @property
    def is_unfit(self) -> bool:
        """Return whether any worker of that node would say the same."""
        return isinstance(_cause(self.error), NotPrepared)


@dataclass(frozen=True)
class Loss:
    """One try of a call that came to nothing.

    Attributes:
        node: Where; None: on this machine.
        lost: What was raised.
        hung: Why the worker was ended, where its client could not be stopped.
    """

    node: str | None
    lost: Lost
    hung: WorkerLost | None = None


@dataclass
class Pending:
    """A call that is not answered yet.

    Attributes:
        number: Its number.
        losses: The tries that came to nothing, on nodes that are still there.
    """

    number: int
    losses: list[Loss] = field(default_factory=list)

    @property
    def verdict(self) -> FedlabError | None:
        """Return why the call is given up, or None if it is to run again."""
        hung = next((loss.hung for loss in self.losses if loss.hung is not None), None)
        if hung is not None:
            return hung
        if len(self.losses) < TRIES:
            return None
        return _given_up(self.losses)


def _given_up(losses: Sequence[Loss]) -> FedlabError:
    """Return why a call is given up: it ended its worker each time, or met errors around it."""
    faults = [loss.lost.error for loss in losses if not loss.lost.has_died]
    if faults:
        return SystemFault(f"{in_one_line(faults[-1])} ({TRIES} times, on different workers)")
    error = losses[-1].lost.error
    return WorkerLost(f"the worker was lost {TRIES} times: {type(error).__name__}", str(error))


def outcome_of(error: Exception, is_local: bool = True) -> Lost:
    """Return what an error of Ray's means for the call that it came from.

    Args:
        error: The error.
        is_local: Whether all workers are on this machine.

    Raises:
        EngineFault: If the worker says that the run cannot go on. On a cluster a worker that cannot
            get ready only speaks for its node.
    """
    from ray.exceptions import RayActorError

    cause = _cause(error)
    if isinstance(cause, EngineFault) and (is_local or not isinstance(cause, NotPrepared)):
        raise EngineFault(str(cause)) from error
    return Lost(error, isinstance(error, RayActorError))


def in_one_line(error: Exception) -> str:
    """Return an error of Ray's in one line: what was raised in the worker, where it says so."""
    return described(_cause(error) or error)


def _cause(error: Exception) -> Exception | None:
    """Return what was raised in the worker, where an error comes from there."""
    from ray.exceptions import RayTaskError

    cause = error.cause if isinstance(error, RayTaskError) else None
    return cause if isinstance(cause, Exception) else None
