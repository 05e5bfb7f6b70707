"""TOML text to tables, with the limits of a scenario: no more levels and digits than it has."""

from __future__ import annotations

import tomllib
from typing import Any

from fedlab.errors import FedlabError
from fedlab.scenario.problems import dotted

MOST_LEVELS = 30
"""Of tables and lists inside one another."""


def parsed(text: str, where: str) -> dict[str, Any]:
    """Return the table that TOML text holds.

    Args:
        text: The text.
        where: What it is, for messages.

    Raises:
        FedlabError: If it is not valid, or no scenario has so many levels or digits.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        table = None
    except ValueError as error:  # also whole numbers of thousands of digits
        reason = str(error).partition(";")[0]
        raise FedlabError(f"{where} is not valid TOML: {reason}") from error
    if table is not None and (large := _beyond_64_bits(table)):
        raise FedlabError(f"{where}: {large}: a whole number has 64 bits, which is less than this")
    if table is None or _is_deep(table):
        raise FedlabError(
            f"{where}: tables and lists are nested more than {MOST_LEVELS} levels deep, and no "
            "key of a scenario is"
        )
    return table


def _is_deep(table: dict[str, Any]) -> bool:
    """Return whether a table is deeper than any scenario is, without recursion."""
    level: list[Any] = [table]
    for _ in range(MOST_LEVELS):
        inside = (p.values() if isinstance(p, dict) else p for p in level)
        level = [part for parts in inside for part in parts if isinstance(part, dict | list)]
    return bool(level)


def _beyond_64_bits(table: dict[str, Any]) -> str:
    """Return the key of a whole number beyond those of TOML, or an empty string."""
    level: list[tuple[Any, Any]] = [((key,), value) for key, value in table.items()]
    while level:
        path, value = level.pop()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            return dotted(path)
        if isinstance(value, dict):
            level += [((*path, key), part) for key, part in value.items()]
        elif isinstance(value, list):
            level += [(path, part) for part in value]
    return ""
