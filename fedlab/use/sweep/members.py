"""The runs of a sweep, one for each setting and seed, and the folder that holds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w

from fedlab import files, registry
from fedlab.errors import FedlabError
from fedlab.files import write_whole
from fedlab.results.reading import RunRecord
from fedlab.run.folder import RunFolder
from fedlab.scenario import Scenario, load_with_origins
from fedlab.use.sweep.description import Sweep
from fedlab.use.sweep.points import Point, folder_name
from fedlab.use.sweep.values import as_override

INLINE = "inline"


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Attributes:
        point: Its setting.
        seed: Its seed.
        path: Its run folder.
        scenario: What is run there.
    """

    point: Point
    seed: int
    path: Path
    scenario: Scenario

    @property
    def label(self) -> str:
        """Return what to call it."""
        return f"{self.point.name}, seed {self.seed}"

    @property
    def is_finished(self) -> bool:
        """Return whether it has been run to its end, which may be that of early stopping."""
        return (self.path / files.SUMMARY).is_file() and self.record().came_to_its_end

    def record(self) -> RunRecord:
        """Return what was run."""
        return RunRecord.load(self.path)

    def opened(self) -> RunFolder:
        """Return its run folder, made where it is not there.

        One that is there goes on with the engine that it began with: results do not depend on it.

        Raises:
            FedlabError: If it holds a run of another scenario.
        """
        return RunFolder.at(self.path, self.scenario, engine_may_differ=True)


class SweepFolder:
    """Where a sweep's runs are, and what they are.

    Args:
        path: The folder.
        sweep: What is run.
        is_inline: Whether several runs share the machine's cores, each in one process.

    Attributes:
        members: All runs that are known so far.
    """

    def __init__(self, path: Path, sweep: Sweep, is_inline: bool) -> None:
        self.path = path
        self.sweep = sweep
        self.members: list[Member] = []
        self._is_inline = is_inline

    def add(self, points: Sequence[Point]) -> list[Member]:
        """Return the runs of some settings, seed by seed, and take note of them.

        Raises:
            FedlabError: With the setting whose scenario is not valid, and why.
        """
        scenarios = [(point, self._scenario(point)) for point in points]
        added = [
            self._member(point, scenario, seed)
            for seed in (self._seeds if points else ())
            for point, scenario in scenarios
        ]
        # A search may come back to a setting.
        known = {member.path for member in self.members}
        self.members += [member for member in added if member.path not in known]
        return added

    def _member(self, point: Point, scenario: Scenario, seed: int) -> Member:
        path = self.path / files.SWEEP_RUNS / folder_name(point.name, seed)
        return Member(point, seed, path, scenario.model_copy(update={"seed": seed}))

    @cached_property
    def _seeds(self) -> list[int]:
        """Return the seeds of each setting: the same for all, so that runs can be paired."""
        seeds = self.sweep.seeds
        if isinstance(seeds, int):
            first = self._scenario(Point("all settings")).seed
            return [first + number for number in range(seeds)]
        return list(seeds)

    def _scenario(self, point: Point) -> Scenario:
        try:
            name = point.scenario or self.sweep.scenario
            loaded = load_with_origins(name, self.overrides(point)).scenario
        except FedlabError as error:
            raise FedlabError(f"setting '{point.name}': {error}") from error
        if not self.sweep.baselines and loaded.evaluation.baselines:
            evaluation = loaded.evaluation.model_copy(update={"baselines": ()})
            loaded = loaded.model_copy(update={"evaluation": evaluation})
        return loaded

    def overrides(self, point: Point) -> list[str]:
        """Return the overrides that make a setting of the sweep's scenario, seed apart."""
        search = self.sweep.search
        federated = search is not None and search.by == "validation"
        return [
            *([f"engine.name={INLINE}"] if self._is_inline else []),
            *(["evaluation.federated=true"] if federated else []),
            *(as_override(key, value) for key, value in self.sweep.set.items()),
            *point.overrides,
        ]

    def write(self) -> None:
        """Write what the sweep is, so that it can be read and gone on with."""
        self.path.mkdir(parents=True, exist_ok=True)
        description = self.sweep.model_dump(mode="json", exclude_none=True)
        write_whole(self.path / files.SWEEP_DESCRIPTION, tomli_w.dumps(description).encode())
        rows = [
            {"setting": m.point.name, "keys": m.point.keys, "seed": m.seed, "run": m.path.name}
            for m in self.members
        ]
        content: dict[str, Any] = {"scenario": self.sweep.scenario, "members": rows}
        write_whole(self.path / files.SWEEP, json.dumps(content, indent=1).encode())


def shares_well(scenario: Scenario) -> bool:
    """Return whether several runs may share this machine, each inline in one process.

    Results are the same to the bit: engines of one machine differ in nothing but time.
    """
    engine = scenario.engine
    if getattr(engine, "address", None) is not None or engine.device != "cpu":
        return False
    return not registry.engines.get(engine.name).traits.loads_own_data
