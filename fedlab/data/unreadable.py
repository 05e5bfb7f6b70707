"""What becomes of examples that cannot be read: all is refused, or they are left out and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from fedlab.errors import FedlabError

OnError = Literal["refuse", "skip"]
_NAMED = 3


def on_error_field() -> OnError:
    """Return the field of the key ``data.on_error``."""
    default: OnError = Field(
        "refuse",
        description="what is done about examples that cannot be read: nothing is trained, or "
        "they are left out, and a line says how many",
    )
    return default


def settle(
    faults: Sequence[str], total: int, key: str, on_error: OnError, what: str = "files"
) -> tuple[str, ...]:
    """Return a note on the examples that are left out, if there are any.

    Args:
        faults: A sentence for each example that cannot be read, which names it.
        total: How many examples there are with them.
        key: The scenario's key or the option that names the data.
        on_error: ``data.on_error``.
        what: What an example is, in the plural.

    Raises:
        FedlabError: If there are faults and none is to be left out: the first, and how many.
    """
    if not faults:
        return ()
    if on_error == "refuse":
        further = len(faults) - 1
        more = f" ({further} more of {total} {what} cannot be read either)" if further else ""
        hint = "; data.on_error = 'skip' leaves such out" if key.startswith("data.") else ""
        raise FedlabError(f"{key}: {faults[0]}{more}{hint}")
    named = "; ".join(faults[:_NAMED]) + ("; ..." if len(faults) > _NAMED else "")
    return (f"{key}: left out {len(faults)} of {total} {what} that cannot be read: {named}",)
