"""The small scenario that tests share, and how they change it."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from typing import Any

from fedlab.scenario import Scenario
from fedlab.scenario.loading import check

Changes = str | Mapping[str, Any]

SMALL: dict[str, Any] = {
    "rounds": 3,
    "data": {"name": "digits", "partition": {"name": "iid", "clients": 3}},
    "model": {"name": "mlp"},
    "engine": {"name": "inline"},
}


def scenario_with(*changes: Changes, **keys: Any) -> Scenario:
    """Return the small scenario with changes laid on it, checked; see `raw_with`."""
    return check(raw_with(*changes, **keys), "scenario")


def raw_with(*changes: Changes, **keys: Any) -> dict[str, Any]:
    """Return the content of the small scenario with changes laid on it, one after the other.

    Args:
        changes: Nested dictionaries, or TOML such as ``client.optimizer.lr = 0.1``; None removes a
            key.
        keys: The same by top-level key: its value, or a table as TOML.
    """
    raw = copy.deepcopy(SMALL)
    for change in changes:
        _lay(raw, _parsed(change))
    _lay(raw, {key: value if key == "title" else _parsed(value) for key, value in keys.items()})
    return raw


def _parsed(value: Any) -> Any:
    return tomllib.loads(value) if isinstance(value, str) else value


def _lay(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        elif isinstance(value, Mapping):
            _lay(table.setdefault(key, {}), value)
        else:
            table[key] = copy.deepcopy(value)
