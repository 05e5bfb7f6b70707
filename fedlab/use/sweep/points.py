"""The settings of a sweep: a grid, named settings, or draws at random."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlab import seeding
from fedlab.errors import FedlabError
from fedlab.use.sweep.description import MOST_RUNS, Range, Search, Sweep
from fedlab.use.sweep.values import as_override

ALONE = "scenario"
"""The name of the setting of a sweep that only has seeds."""


@dataclass(frozen=True)
class Point:
    """A setting of a sweep.

    Attributes:
        name: What it is called.
        keys: What it sets, beside what all settings have.
        scenario: The scenario that it is a setting of; None: the sweep's.
    """

    name: str
    keys: dict[str, Any] = field(default_factory=dict)
    scenario: str | None = None

    @property
    def overrides(self) -> list[str]:
        """Return its keys as overrides."""
        return [as_override(key, value) for key, value in self.keys.items()]


def points_of(sweep: Sweep) -> list[Point]:
    """Return a sweep's settings, as far as they are known before anything is run.

    Raises:
        FedlabError: If they are too many, or two have the same name.
    """
    if sweep.search is not None:
        return list(drawn(sweep.search)) if sweep.search.sampler == "random" else []
    count = math.prod(len(values) for values in sweep.grid.values()) * max(1, len(sweep.setting))
    if count > MOST_RUNS:
        raise FedlabError(f"the grid has {count} settings; at most {MOST_RUNS} are run")
    points = []
    for setting in sweep.setting or (None,):
        for values in itertools.product(*sweep.grid.values()):
            keys = dict(zip(sweep.grid, values, strict=True))
            words = [setting.name] if setting is not None else []
            name = ", ".join([*words, *([called(keys)] if keys else [])]) or ALONE
            own = setting.keys if setting is not None else {}
            scenario = setting.scenario if setting is not None else None
            points.append(Point(name, {**own, **keys}, scenario))
    return points


def drawn(search: Search) -> Iterator[Point]:
    """Yield settings drawn at random, the same ones for the same seed."""
    for number in range(search.trials):
        generator = seeding.numpy_generator(search.seed, "sweep", number)
        keys = {key: _draw(space, generator) for key, space in search.space.items()}
        yield Point(called(keys), keys)


def _draw(space: Range, generator: np.random.Generator) -> Any:
    if space.choices:
        return space.choices[int(generator.integers(len(space.choices)))]
    assert space.low is not None
    assert space.high is not None
    if space.is_whole and not space.log:
        return int(generator.integers(int(space.low), int(space.high) + 1))
    low, high = (math.log(v) if space.log else float(v) for v in (space.low, space.high))
    value = float(generator.uniform(low, high))
    value = math.exp(value) if space.log else value
    return round(value) if space.is_whole else float(f"{value:.6g}")


def called(keys: Mapping[str, Any]) -> str:
    """Return what to call a setting: names as they are, other keys with their values.

    Example:
        >>> called({"strategy.name": "fedadam", "client.optimizer.lr": 0.1})
        'fedadam, lr=0.1'
    """
    lasts = [key.rpartition(".")[2] for key in keys]
    words = []
    for (key, value), last in zip(keys.items(), lasts, strict=True):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        label = last if lasts.count(last) == 1 else ".".join(key.split(".")[-2:])
        words.append(text if last == "name" else f"{label}={text}")
    return ", ".join(words)


def folder_name(name: str, seed: int) -> str:
    """Return the name of a run's folder: letters that every file system and shell takes."""
    plain = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", name).strip("-.")[:80] or "setting"
    return f"{plain}-seed{seed}"
