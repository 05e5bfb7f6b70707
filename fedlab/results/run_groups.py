"""Runs that differ by their seeds alone make one setting, named by what differs from the others."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedlab.errors import one_line
from fedlab.results.reading import RunRecord

SEED = "seed"
NOT_SETTINGS = (
    "title",
    "description",
    "engine",
    "trackers",
    "module_folders",
    "keep_checkpoints",
    SEED,
)
"""Keys that say how a run is computed, watched and called, and not what is learnt."""
NAME = "name"
PLAIN_CLIENT = "supervised"
"""What clients do under most strategies: it tells nothing beside the strategy's name."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class RunGroup:
    """The runs of one setting.

    Attributes:
        name: What tells it from the others.
        keys: The keys that differ among all settings, with this one's values.
        records: Its runs, by ascending seed.
    """

    name: str
    keys: dict[str, Any]
    records: Sequence[RunRecord]

    def by_seed(self, values: Iterable[float]) -> dict[int, float]:
        """Return values, one a run, by the runs' seeds."""
        pairs = zip(self.records, values, strict=True)
        return {seed_of(record): value for record, value in pairs}


def seed_of(record: RunRecord) -> int:
    """Return the seed of a run."""
    return record.scenario.seed


def groups_of(records: Sequence[RunRecord]) -> list[RunGroup]:
    """Return the settings of runs, in the order in which their first runs come.

    Two runs with the same keys and the same seed are two settings, called after their folders: one
    is no repetition of the other.
    """
    contents = [_settled(tomllib.loads(record.scenario_text)) for record in records]
    found: list[tuple[dict[str, Any], list[RunRecord]]] = []
    for content, record in zip(contents, records, strict=True):
        for known, members in found:
            if known == content and seed_of(record) not in map(seed_of, members):
                members.append(record)
                break
        else:
            found.append((content, [record]))
    keys = distinguishing([content for content, _ in found])
    names = [_name(content, keys) for content, _ in found]
    groups = []
    for (content, members), name in zip(found, names, strict=True):
        alias = members[0].alias
        own = name if name and names.count(name) == 1 else members[0].name
        values = {key: content[key] for key in keys if key in content}
        ordered = sorted(members, key=seed_of)
        groups.append(RunGroup(one_line(alias or own, LONGEST_NAME), values, ordered))
    return groups


def without_cut_short(groups: Iterable[RunGroup]) -> tuple[list[RunGroup], list[str]]:
    """Return settings without runs whose last figures are of no end, and what is left out of each.

    Those that failed are left out; others that were stopped or are under way, where their setting
    has runs that came to their end.
    """
    kept, left_out = [], []
    for group in groups:
        whole = [record for record in group.records if record.came_to_its_end]
        kept_runs = whole or [record for record in group.records if record.status != "failed"]
        if kept_runs:
            kept.append(replace(group, records=kept_runs))
        if gone := [r for r in group.records if not any(r is run for run in kept_runs)]:
            left_out.append(f"{group.name}: left out: {', '.join(map(ended, gone))}")
    return kept, left_out


def ended(record: RunRecord) -> str:
    """Return how a run has ended, beside its seed."""
    reason = record.summary.reason if record.summary is not None else ""
    done = record.rounds[-1].round if record.rounds else 0
    how = reason if record.status == "stopped" and reason else record.status
    return f"seed {seed_of(record)} ({how} after round {done})"


def distinguishing(contents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys in which settings differ, in their order.

    Tables with other names have other keys: within such a table only those are compared whose
    tables have the same name, so that "fedadam" is not called by each default of its own.
    """
    found = []
    for key in dict.fromkeys(key for content in contents for key in content):
        by_table: dict[tuple[Any, ...], set[str]] = {}
        for content in contents:
            by_table.setdefault(_tables(key, content), set()).add(repr(content.get(key)))
        if any(len(values) > 1 for values in by_table.values()):
            found.append(key)
    return found


def _tables(key: str, content: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the names of the tables that a key stands in, other than by being one."""
    parts = key.split(".")
    above = [".".join([*parts[:depth], NAME]) for depth in range(1, len(parts))]
    return tuple(content.get(name) for name in above if name != key)


def _settled(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is learnt, by dotted keys."""
    return dict(_leaves({k: v for k, v in raw.items() if k not in NOT_SETTINGS}, ""))


def _leaves(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _leaves(below, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{key}.{place}")
    else:
        yield key, value


def _name(content: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return what tells a setting from others."""
    words = words_for({key: content[key] for key in keys if key in content}, keys)
    # An algorithm's two sides have the same name.
    return ", ".join(dict.fromkeys(word for word in words if word != PLAIN_CLIENT))


def words_for(keys: Mapping[str, Any], among: Iterable[str] | None = None) -> list[str]:
    """Return what a setting goes by: names as they are, other keys with their values.

    Args:
        keys: What it sets, by dotted keys.
        among: All keys that settings are told apart by; a last part that several have is not
            enough to name one. None: those of this setting.

    Example:
        >>> words_for({"strategy.name": "fedadam", "client.optimizer.lr": 0.1})
        ['fedadam', 'lr=0.1']
    """
    lasts = Counter(key.rpartition(".")[2] for key in (keys if among is None else among))
    words = []
    for key, value in keys.items():
        last = key.rpartition(".")[2]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        label = last if lasts[last] == 1 else ".".join(key.split(".")[-2:])
        words.append(text if last == NAME else f"{label}={text}")
    return words
