"""Whether code that a scenario or a run folder names, beyond fedlab's registries, may be imported.

``fedlab run`` and ``fedlab resume`` import it: to run a scenario is to trust it. Commands that only
look at a scenario, or use what a run left, may be given a stranger's, and import none of it unless
they are told to. Whoever calls fedlab from Python decides alike, with :func:`own_code`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fedlab.errors import FedlabError, shortened

_ALLOWED: ContextVar[bool] = ContextVar("own code may be imported", default=True)


@contextmanager
def own_code(allowed: bool) -> Iterator[None]:
    """Allow, or refuse, to import classes named as ``module:Class`` within the block."""
    before = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(before)


def require_trust(name: str) -> None:
    """Return if a class named as ``module:Class`` may be imported here.

    Raises:
        FedlabError: If it may not.
    """
    if not _ALLOWED.get():
        raise FedlabError(
            f"'{shortened(name)}' is code outside fedlab, which this command does not import; "
            "pass --trust if you know it"
        )
