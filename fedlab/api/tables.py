"""From what a program says of a scenario to a table as TOML has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from fedlab.errors import FedlabError, shortened
from fedlab.own_classes import folder_of, own_classes
from fedlab.registry import name_of
from fedlab.scenario.overrides import Taken

NAMED = frozenset(
    {"data", "model", "client", "strategy", "engine", "attack"}
    | {"data.partition", "client.optimizer", "client.schedule", "model.adapter"}
)
"""Tables that a name alone may stand for: ``strategy="scaffold"``, ``client=MyClient``."""
LISTED = frozenset({"updates", "downlink", "trackers", "data.shift"})
"""Lists of such tables."""


class Table:
    """A scenario's content as a program says it, and the classes that it names by themselves.

    Attributes:
        content: The content, nested as in TOML, of objects of its own.
        classes: The classes in it, by the names that stand for them.
    """

    def __init__(self, *said: Mapping[str, Any]) -> None:
        self.content: dict[str, Any] = {}
        self.classes: dict[str, type[Any]] = {}
        for mapping in said:
            self._lay(self.content, mapping, "")
        folders = dict.fromkeys(filter(None, map(folder_of, self.classes.values())))
        if folders:
            # So that workers, and who resumes the run elsewhere, find the files of these classes.
            self.content["module_folders"] = [
                *self.content.get("module_folders", []),
                *folders,
            ]

    def _lay(self, table: dict[str, Any], mapping: Mapping[str, Any], prefix: str) -> None:
        """Lay a mapping on a table; dots, and double underscores, in its keys lead to tables."""
        for key, value in mapping.items():
            if not isinstance(key, str):
                raise FedlabError(f"{_place(prefix)}: a key is text, not {_shown(key)}")
            *path, last = key.replace("__", ".").split(".")
            inner, at = table, prefix
            for part in path:
                inner, at = inner.setdefault(part, {}), f"{at}{part}."
                if not isinstance(inner, dict):
                    raise FedlabError(f"{_place(f'{prefix}{key}')}: '{part}' is not a table")
            where = f"{at}{last}"
            named = {"name": value} if where in NAMED and _is_name(value) else value
            if isinstance(named, Mapping) and isinstance(inner.get(last), dict):
                self._lay(inner[last], named, f"{where}.")
            else:
                inner[last] = self._value(named, where)

    def _value(self, value: Any, where: str) -> Any:
        """Return a value as TOML has it; None takes a key out of what the table is laid on."""
        if value is None:
            return Taken("none")
        if isinstance(value, Mapping):
            table: dict[str, Any] = {}
            self._lay(table, value, f"{where}.")
            return table
        if isinstance(value, type):
            return self._name(value)
        if isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return self._value(value.item(), where)
        if isinstance(value, PathLike):
            return str(fspath(value))
        if isinstance(value, Sequence | np.ndarray):
            entries = ({"name": v} if where in LISTED and _is_name(v) else v for v in value)
            return [self._value(v, f"{where}.{n}") for n, v in enumerate(entries)]
        raise FedlabError(
            f"{_place(where)}: a number, text, list, table or class belongs here, not "
            f"{_shown(value)}"
        )

    def _name(self, cls: type[Any]) -> str:
        known = name_of(cls)
        if known is not None:
            return known
        name = own_classes.give(cls)
        self.classes[name] = cls
        return name


def _is_name(value: Any) -> bool:
    return isinstance(value, str | type)


def _place(key: str) -> str:
    return f"argument {shortened(key.removesuffix('.')) or 'scenario'}"


def _shown(value: Any) -> str:
    return f"an object of {type(value).__name__}"
