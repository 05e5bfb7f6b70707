"""The settings of a sweep: a grid, named settings, or draws at random."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlab import seeding
from fedlab.errors import FedlabError
from fedlab.results.run_groups import words_for
from fedlab.use.sweep.description import MOST_RUNS, Range, Search, Sweep
from fedlab.use.sweep.values import as_override

LONGEST_FOLDER = 80
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
        FedlabError: If they are too many, or two are the same.
    """
    if sweep.search is not None:
        return drawn(sweep.search) if sweep.search.sampler == "random" else []
    count = math.prod(len(values) for values in sweep.grid.values()) * max(1, len(sweep.setting))
    if count > MOST_RUNS:
        raise FedlabError(f"the grid has {count} settings; at most {MOST_RUNS} are run")
    points = []
    for setting in sweep.setting or (None,):
        for values in itertools.product(*sweep.grid.values()):
            keys = dict(zip(sweep.grid, values, strict=True))
            words = [setting.name] if setting is not None else []
            name = ", ".join([*words, *words_for(keys)]) or ALONE
            own = setting.keys if setting is not None else {}
            scenario = setting.scenario if setting is not None else None
            points.append(Point(name, {**own, **keys}, scenario))
    _check_apart(points)
    return points


def _check_apart(points: Sequence[Point]) -> None:
    """Check that each setting has a name and a folder of its own.

    Raises:
        FedlabError: If two have not.
    """
    known: dict[str, Point] = {}
    for point in points:
        other = known.setdefault(folder_name(point.name, 0), point)
        if other is not point:
            same = point.name == other.name
            raise FedlabError(
                f"'{point.name}' is among the settings twice; give each value once"
                if same
                else f"settings '{other.name}' and '{point.name}' would have one folder; name one "
                "otherwise"
            )


def drawn(search: Search) -> list[Point]:
    """Return settings drawn at random, the same ones for the same seed; what comes twice, once."""
    points = {}
    for number in range(search.trials):
        generator = seeding.numpy_generator(search.seed, "sweep", number)
        point = point_of({k: _draw(space, generator) for k, space in search.space.items()})
        points[point.name] = point
    return list(points.values())


def point_of(keys: dict[str, Any]) -> Point:
    """Return the setting that sets these keys, which it is called after."""
    return Point(", ".join(words_for(keys)), keys)


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


def folder_name(name: str, seed: int) -> str:
    """Return the name of a run's folder: letters that every file system and shell takes.

    What is cut off a long name is told apart by a digest.
    """
    plain = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", name).strip("-.") or "setting"
    if len(plain) > LONGEST_FOLDER:
        plain = f"{plain[:LONGEST_FOLDER]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"{plain}-seed{seed}"
