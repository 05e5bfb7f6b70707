"""What differs between two scenarios, and what may change while a run goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedlab.errors import FedlabError
from fedlab.scenario.loading import check
from fedlab.scenario.paths import path_keys
from fedlab.scenario.schema import Scenario

MAY_CHANGE = (
    *("title", "description", "group", "rounds", "engine", "trackers", "module_folders"),
    "keep_checkpoints",
    *("evaluation.every", "evaluation.early_stopping", "evaluation.minimum_replies"),
    "evaluation.keep_best",
    *("evaluation.baselines", "evaluation.tensorboard"),
)
"""Keys and tables that decide how long, where and how watched a run is, and not what it learns.

A path may change, too: whatever stands there has to be what it was; and the rounds of the last
phase.
"""

MOST_TOLD = 8
Leaves = dict[str, Any]


class Change(NamedTuple):
    """The values of a key before and after; None where it has none."""

    before: Any
    after: Any


def leaves(table: Mapping[str, Any], prefix: str = "") -> Leaves:
    """Return the values of a scenario's content by key; what is None is left out."""
    found: Leaves = {}
    for key, value in table.items():
        inner: Any = value
        if isinstance(value, list | tuple) and any(isinstance(part, dict) for part in value):
            inner = {str(number): part for number, part in enumerate(value)}
        if isinstance(inner, dict):
            found |= leaves(inner, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def content_of(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario's content, defaults included, as JSON and TOML hold it."""
    return scenario.model_dump(mode="json", exclude_none=True)


def recorded_leaves(content: dict[str, Any]) -> Leaves:
    """Return the values of a scenario that was recorded, with those of keys that came later."""
    try:
        return leaves(content_of(check(content, "the recorded scenario")))
    except FedlabError:  # a key is gone since
        return leaves(content)


def differences(before: Leaves, after: Leaves) -> dict[str, Change]:
    """Return what differs, by key."""
    keys = dict.fromkeys([*before, *after])
    changes = {key: Change(before.get(key), after.get(key)) for key in keys}
    return {key: change for key, change in changes.items() if change.before != change.after}


def fixed(changes: Mapping[str, Change], scenario: Scenario) -> list[str]:
    """Return the keys, of those that change, that must not within a run."""
    paths = set(path_keys(scenario))
    free_keys = [*MAY_CHANGE, f"phases.{len(scenario.phases) - 1}.rounds"]
    return [
        key
        for key, change in changes.items()
        if not any(key == free or key.startswith(f"{free}.") for free in free_keys)
        and not (key in paths and _is_path(change.before) and _is_path(change.after))
    ]


def told(changes: Mapping[str, Change]) -> str:
    """Return the changes in words."""
    words = [
        f"{key} is {_word(change.after)} and was {_word(change.before)}"
        for key, change in changes.items()
    ]
    more = [f"and {len(words) - MOST_TOLD} more keys"] if len(words) > MOST_TOLD else []
    return "; ".join(words[:MOST_TOLD] + more)


def _word(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and os.path.isabs(value)
