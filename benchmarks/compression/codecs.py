"""What is compared: each update processor, with and without error feedback, and a few together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Tables = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Codec:
    """A row of the table.

    Attributes:
        name: What the page calls it.
        updates, downlink: The tables of the scenario.
        feedback: Whether errors are fed back; None where there is none, or nothing is left out.
        changes: Further tables, by dotted key.
    """

    name: str
    updates: Tables = ()
    downlink: Tables = ()
    feedback: bool | None = None
    changes: dict[str, Any] = field(default_factory=dict)


LOSSY: dict[str, dict[str, Any]] = {
    "top-k, a twentieth": {"name": "top-k", "fraction": 0.05},
    "random-k, a quarter": {"name": "random-k", "fraction": 0.25},
    "QSGD, 15 levels": {"name": "qsgd", "levels": 7},
    "QSGD, 3 levels": {"name": "qsgd", "levels": 1},
    "TernGrad": {"name": "terngrad"},
    "sign": {"name": "sign"},
    "PowerSGD, rank 4": {"name": "powersgd", "rank": 4},
    "count sketch": {"name": "count-sketch"},
}
TOP_K = LOSSY["top-k, a twentieth"]


def codecs() -> Iterator[Codec]:
    """Yield all that is compared, in the order of the table."""
    yield Codec("none")
    yield Codec("float16", ({"name": "float16"},))
    yield Codec("bfloat16", ({"name": "bfloat16"},))
    for name, table in LOSSY.items():
        for feedback in (True, False):
            own = {**table, "error_feedback": feedback}
            if table["name"] == "random-k":
                own["unbiased"] = False
            yield Codec(name, (own,), feedback=feedback)
        if table["name"] == "random-k":
            yield Codec(f"{name}, n/k times", (table,), feedback=False)
    signs = {"name": "sign", "error_feedback": False}
    yield Codec(
        "majority vote", (signs,), feedback=False, changes={"strategy.name": "majority-vote"}
    )
    whole = ({"name": "float16"}, {"name": "lossless"})
    yield Codec("float16, lossless", whole)
    yield Codec("top-k, float16, lossless", (TOP_K, *whole), feedback=True)
    down = ({"name": "qsgd", "levels": 7},)
    yield Codec("TernGrad, QSGD down", (LOSSY["TernGrad"],), down)
    yield Codec("top-k, top-k down", (TOP_K,), (TOP_K,), feedback=True)
