"""``--set table.key=value``: keys that the command line lays on a scenario, or takes out of it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from fedlab.errors import FedlabError, shortened
from fedlab.scenario.problems import annotation_at, model_in
from fedlab.scenario.toml_text import MOST_LEVELS, parsed

TAKING = ("none", "null")
"""The words that take a key out of a scenario; where a key's values have one of them, it is that
value, and in quotes a word is always text."""


class Taken:
    """What stands for a key that is taken out, until it is known whether it may be.

    Attributes:
        word: What was written.
    """

    def __init__(self, word: str) -> None:
        self.word = word


def overlay(overrides: Iterable[str]) -> dict[str, Any]:
    """Return what ``table.key=value`` overrides say, as one table.

    Raises:
        FedlabError: If one is not written so.
    """
    laid: dict[str, Any] = {}
    for override in overrides:
        _set(override, laid)
    return laid


def _set(override: str, laid: dict[str, Any]) -> None:
    """Put one ``table.key=value`` into ``laid``."""
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > MOST_LEVELS:
        raise FedlabError(f"--set {shortened(override)}: write it as table.key=value")
    table = laid
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise FedlabError(f"--set {shortened(override)}: '{part}' is not a table")
    table[parts[-1]] = _value(key, text, parts[-1])


def _value(key: str, text: str, last: str) -> Any:
    word = text.strip()
    if word.lower() in TAKING and last != "name":
        return Taken(word)
    try:
        found = parsed(f"value = {text}", f"--set {shortened(key)}")
    except FedlabError as error:
        if isinstance(error.__cause__, tomllib.TOMLDecodeError):
            return word
        raise
    if len(found) > 1:
        raise FedlabError(f"--set {key}: this sets more than one key; write --set once for each")
    return found["value"]


def are_numbers(over: dict[str, Any]) -> bool:
    """Return whether all keys of a table can be numbers of a list's entries."""
    return bool(over) and all(key.isdecimal() and len(key) < 6 for key in over)


def entries_set(present: list[Any], over: dict[str, Any], key: str) -> dict[int, Any]:
    """Return what is laid on a list's entries, by their numbers: ``updates.0.fraction=0.1``.

    Args:
        present: The list.
        over: What is laid on it, by numbers.
        key: The list's key, for messages.

    Raises:
        FedlabError: If a number is that of no entry, nor the next one.
    """
    for number in over:
        if int(number) > len(present):
            has = f"entries 0 to {len(present) - 1}" if present else "no entry"
            raise FedlabError(
                f"{key}.{number}: the list '{key}' has {has}; a new one is number {len(present)}"
            )
    return {int(number): value for number, value in over.items()}


def take_out(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], str]]:
    """Take every key out of ``raw`` that is to be; return where they stood, and the words."""
    entries = list(raw.items() if isinstance(raw, dict) else enumerate(raw))
    taken: list[tuple[tuple[Any, ...], str]] = []
    for key, value in reversed(entries):
        if isinstance(value, Taken):
            del raw[key]
            if isinstance(raw, list):
                taken = [(_moved_up(one, len(path), key), word) for one, word in taken]
            taken.append(((*path, key), value.word))
        elif isinstance(value, dict | list):
            taken += take_out(value, (*path, key))
    return taken


def _moved_up(path: tuple[Any, ...], depth: int, removed: int) -> tuple[Any, ...]:
    """Return a path into a list that an entry before it has gone from."""
    return (*path[:depth], path[depth] - (path[depth] > removed), *path[depth + 1 :])


def put_back(raw: dict[str, Any], schema: Any, taken: list[tuple[tuple[Any, ...], str]]) -> None:
    """Put the words back as text where a key cannot be left out, so that the check says so."""
    for path, word in taken:
        if isinstance(path[-1], int) or _may_go(annotation_at(schema, path), word):
            continue
        table: Any = raw
        for part in path[:-1]:
            table = table[part] if isinstance(part, int) else table.setdefault(part, {})
        table[path[-1]] = word


def _may_go(annotation: Any, word: str) -> bool:
    """Return whether a key of this type may be left out: a table, a list, or what may be none."""
    branches = list(_branches(annotation)) if annotation is not None else []
    if any(get_origin(branch) is Literal and word in get_args(branch) for branch in branches):
        return False
    return model_in(annotation) is not None or any(
        branch is NoneType or get_origin(branch) in (tuple, list) for branch in branches
    )


def _branches(annotation: Any) -> Iterable[Any]:
    """Yield an annotation and, of a union, its parts."""
    yield annotation
    if get_origin(annotation) not in (tuple, list, Literal):
        for part in get_args(annotation):
            yield from _branches(part)


def without_taken(table: Any) -> Any:
    """Return a table of a scenario that is not checked without what is taken out of it."""
    if isinstance(table, dict):
        take_out(table)
    return None if isinstance(table, Taken) else table
