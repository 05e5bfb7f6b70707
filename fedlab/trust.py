"""Whether code that a scenario or a run folder names, beyond fedlab's registries, may be imported.

``fedlab run`` and ``fedlab resume`` import it: to run a scenario is to trust it. Commands that only
look at a scenario, or use what a run left, may be given a stranger's, and import none of it unless
they are told to. A site of a federation imports from the modules that its own file lists. Whoever
calls fedlab from Python decides alike, with :func:`own_code`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fedlab.errors import FedlabError, shortened
from fedlab.own_classes import MAIN, own_classes

Allowed = bool | Collection[str]
ON_THE_COMMAND_LINE = "pass --trust if you know it"
_ALLOWED: ContextVar[Allowed] = ContextVar("own code may be imported", default=True)
_HINT: ContextVar[str] = ContextVar("how to allow it", default=ON_THE_COMMAND_LINE)


@contextmanager
def own_code(allowed: Allowed, hint: str = ON_THE_COMMAND_LINE) -> Iterator[None]:
    """Allow, or refuse, to import classes named as ``module:Class`` within the block.

    Args:
        allowed: Whether it is allowed; or the modules from which it is, and no others.
        hint: How the user may allow it, where it is refused.
    """
    before, hint_before = _ALLOWED.set(allowed), _HINT.set(hint)
    try:
        yield
    finally:
        _ALLOWED.reset(before)
        _HINT.reset(hint_before)


def require_trust(name: str) -> None:
    """Return if a class named as ``module:Class`` may be imported here.

    Raises:
        FedlabError: If it may not.
    """
    allowed = _ALLOWED.get()
    if not isinstance(allowed, bool):
        if name.partition(":")[0] not in allowed:
            raise FedlabError(
                f"'{shortened(name)}' is code outside fedlab, which this site does not import; its "
                "file lists what it does: permissions.modules"
            )
        return
    # Of what this program has defined itself nothing is imported.
    is_known = name.partition(":")[0] == MAIN or own_classes.get(name) is not None
    if not allowed and not is_known:
        raise FedlabError(
            f"'{shortened(name)}' is code outside fedlab, which is not imported here; {_HINT.get()}"
        )
