"""How a task differs from a recorded one, by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields

from fedlab.data.dataset import Encoding, Scaling, Task
from fedlab.data.table_encoding import TableEncoding

_NAMED = {"labels", "encoding"}
SHOWN = 3


def differences(recorded: Task, found: Task) -> list[str]:
    """Return what a task has that the recorded one had not, and the other way round, in words.

    Classes, tokens and columns are compared by name: which is new, which is gone, and whether they
    come in another order.
    """
    if recorded == found:
        return []
    labels = "class" if recorded.kind in ("classification", "tagging") else "label"
    told = list(_names(labels, recorded.labels, found.labels))
    told += _encoding(recorded.encoding, found.encoding)
    # A changed set of names changes numbers of outputs and tokens, too.
    counts = {"outputs", "vocabulary"} if told else set()
    for field in fields(Task):
        before, now = getattr(recorded, field.name), getattr(found, field.name)
        if before != now and field.name not in _NAMED | counts:
            told.append(f"{field.name} is {_word(now)} and was {_word(before)}")
    return told


def _encoding(recorded: Encoding | None, found: Encoding | None) -> Iterator[str]:
    if recorded is None or found is None:
        if recorded is not found:
            yield "inputs are raw, not encoded" if found is None else "inputs are encoded, not raw"
        return
    yield from _names("token", recorded.tokens, found.tokens)
    if recorded.tokenizer != found.tokenizer:
        yield "texts are cut into tokens by another tokeniser"
    if recorded.unit != found.unit:
        yield f"tokens are {found.unit} and were {recorded.unit}"
    yield from _table(recorded.table, found.table)
    for name, before, now in (
        ("column", recorded.features, found.features),
        ("target", recorded.targets, found.targets),
    ):
        yield from _scaling(name, before, now)


def _table(recorded: TableEncoding | None, found: TableEncoding | None) -> Iterator[str]:
    if recorded is None or found is None or recorded == found:
        return
    told = list(_names("input", recorded.features, found.features))
    told += _names("client", recorded.clients, found.clients)
    yield from told
    if told:
        return
    pairs = zip(
        (recorded.fitted, *recorded.by_client), (found.fitted, *found.by_client), strict=True
    )
    moved = any(
        not all(map(_near, getattr(before, name), getattr(now, name)))
        for before, now in pairs
        for name in ("fill", "offset", "scale", "mean", "deviation")
    )
    if moved:
        yield "columns are scaled, or missing values filled, by other numbers"


def _scaling(name: str, recorded: Scaling | None, found: Scaling | None) -> Iterator[str]:
    if recorded is None or found is None:
        if recorded is not found:
            yield f"{name}s are {'not scaled and were' if found is None else 'scaled and were not'}"
        return
    renamed = list(_names(name, recorded.columns, found.columns))
    yield from renamed
    if renamed:
        return
    if len(recorded.scale) != len(found.scale):
        yield f"there are {len(found.scale)} {name}s and were {len(recorded.scale)}"
        return
    pairs = zip(
        recorded.columns or map(str, range(len(recorded.scale))),
        zip(recorded.offset, recorded.scale, strict=True),
        zip(found.offset, found.scale, strict=True),
        strict=True,
    )
    moved = [c for c, before, now in pairs if not all(map(_near, before, now))]
    if moved:
        kind = name if len(moved) == 1 else f"{name}s"
        yield f"{kind} {_listed(moved)} {_are(moved)} scaled by other numbers"


def _near(before: float, now: float) -> bool:
    """Return whether two statistics are of the same data, on this machine or another."""
    return math.isclose(before, now, rel_tol=1e-5, abs_tol=1e-8)


def _names(kind: str, recorded: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    """Tell which names are new or gone, or that they come in another order."""
    before, now = set(recorded), set(found)
    new = [name for name in found if name not in before]
    gone = [name for name in recorded if name not in now]
    parts = [(new, "new"), (gone, "gone")]
    told = [f"{_listed(names)} {_are(names)} {what}" for names, what in parts if names]
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    if told:
        yield f"{kind if len(new or gone) == 1 else plural} {' and '.join(told)}"
    elif tuple(recorded) != tuple(found):
        place = next(n for n, (b, f) in enumerate(zip(recorded, found, strict=True)) if b != f)
        yield (
            f"{plural} come in another order: number {place} is '{found[place]}' and was "
            f"'{recorded[place]}'"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return shown + more


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value)) or "nothing"
    return repr(value)
