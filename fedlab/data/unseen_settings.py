"""Keys of ``[evaluation]`` on clients that never train."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fedlab.settings import Settings

KEY = "evaluation.unseen_clients"


def _is_a_choice(chosen: Any) -> Any:
    """Return which clients are unseen, if that is a choice of clients.

    Raises:
        ValueError: If not.
    """
    if isinstance(chosen, list | tuple):
        wrong = [one for one in chosen if not isinstance(one, str) and not _is_count(one)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no client's number, from 0, and no client's name")
        return tuple(dict.fromkeys(chosen))
    if _is_count(chosen) or (isinstance(chosen, float) and 0 < chosen < 1):
        return chosen
    raise ValueError(
        f"{chosen!r} is no number of clients, and no fraction of them between 0 and 1; write 10, "
        "0.2, or a list of clients' numbers or names"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


UnseenClients = Annotated[int | float | tuple[int | str, ...], BeforeValidator(_is_a_choice)]
"""How many clients are unseen, which fraction of all, or which; 0 or () for none."""


class UnseenSettings(Settings):
    """Which clients never train, and what they do before they are tested."""

    unseen_clients: UnseenClients = Field(
        0,
        description="clients that never train: how many, which fraction of all, or a list of their "
        "numbers or names (a pattern such as 'Greek *' names several); every evaluation reports "
        "what the model reaches on their test parts after a few steps on their own examples",
    )
    unseen_steps: tuple[Annotated[int, Field(ge=0, le=10**6)], ...] = Field(
        (0, 1, 5), min_length=1, description="after how many steps unseen clients are tested"
    )
    unseen_shots: int | None = Field(
        None,
        ge=1,
        description="how many examples of each class an unseen client has for its steps, or how "
        "many in all where there are no classes; default: its whole training part",
    )
    unseen_rate: float | None = Field(
        None, gt=0, description="learning rate of unseen clients' steps; default: that of clients"
    )
