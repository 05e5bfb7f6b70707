"""What a sweep runs: a scenario, its settings, their seeds; from a TOML file or from options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedlab.errors import FedlabError, FedlabErrors
from fedlab.results.run_groups import SEED
from fedlab.scenario.content import leaves
from fedlab.scenario.files import built_in, find, text_of
from fedlab.scenario.problems import sentences
from fedlab.scenario.toml_text import parsed
from fedlab.settings import Settings
from fedlab.use.sweep.options import grid_of, override_of

MOST_SEEDS = 1000
MOST_RUNS = 100_000


class Range(Settings):
    """What a key is drawn from: a range of numbers, or some values."""

    low: float | int | None = Field(None, description="the least value")
    high: float | int | None = Field(None, description="the greatest value")
    log: bool = Field(False, description="draw the logarithm evenly")
    choices: tuple[Any, ...] = Field((), description="the values, in place of low and high")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give choices, or low and high, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("with log = true low must be above 0")
        return self

    @property
    def is_whole(self) -> bool:
        """Return whether it holds whole numbers alone."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class NamedSetting(Settings):
    """A setting with a name of its own, such as an algorithm with its keys."""

    name: str = Field(min_length=1, max_length=60, description="what it is called")
    scenario: str | None = Field(
        None, description="a scenario in place of the sweep's, with tuned keys of its own"
    )
    keys: dict[str, Any] = Field(default_factory=dict, description="what it sets")


class Search(Settings):
    """A search in place of a grid: settings are drawn, at random or by what others reached."""

    sampler: Literal["random", "tpe", "gp", "cmaes", "qmc"] = Field(
        "tpe",
        description="how settings are drawn; all but 'random' are Optuna's (fedlab-sim[sweep])",
    )
    trials: int = Field(20, ge=1, le=MOST_RUNS, description="how many settings are drawn")
    by: Literal["test", "validation"] = Field(
        "test",
        description="what decides: the last test metric, or the mean over clients' validation "
        "parts, which leaves the test set for the final figure",
    )
    pruner: Literal["none", "median", "hyperband"] = Field(
        "none", description="end runs early that are behind others at the same round (Optuna's)"
    )
    seed: int = Field(0, ge=0, description="of what is drawn")
    space: dict[str, Range] = Field(min_length=1, description="what each key is drawn from")

    @model_validator(mode="after")
    def _suits(self) -> Self:
        if self.sampler == "random" and self.pruner != "none":
            raise ValueError("a pruner needs one of Optuna's samplers, such as sampler = 'tpe'")
        return self


class Sweep(Settings):
    """A sweep: the content of its TOML file."""

    scenario: str = Field(description="a built-in scenario's name, or a TOML file beside this one")
    seeds: int | tuple[int, ...] = Field(
        1,
        description="how many seeds each setting is run with, from this scenario's own on, or "
        "which",
    )
    set: dict[str, Any] = Field(default_factory=dict, description="keys that all settings have")
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="values of each key; all combinations are settings"
    )
    setting: tuple[NamedSetting, ...] = Field((), description="settings with names of their own")
    search: Search | None = Field(None, description="draw settings in place of a grid")
    baselines: bool = Field(
        False, description="run the scenario's baselines with every run, and not only its rounds"
    )

    @model_validator(mode="after")
    def _can_be_run(self) -> Self:
        count = self.seeds if isinstance(self.seeds, int) else len(self.seeds)
        if not 1 <= count <= MOST_SEEDS:
            raise ValueError(f"seeds: give 1 to {MOST_SEEDS}")
        if not isinstance(self.seeds, int) and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: each seed once")
        if self.search is not None and (self.grid or self.setting):
            raise ValueError("a search draws its settings; leave out grid and setting")
        if any(not values for values in self.grid.values()):
            raise ValueError("grid: each key needs at least one value")
        tables: list[Mapping[str, Any]] = [self.grid, *(s.keys for s in self.setting)]
        tables += [self.search.space] if self.search is not None else []
        if any(SEED in table for table in tables):
            raise ValueError("seed is no setting: 'seeds' (--seeds 3) says with which each is run")
        if SEED in self.set and not isinstance(self.seeds, int):
            raise ValueError("set.seed and a list of seeds: give one of them")
        names = [setting.name for setting in self.setting]
        if len(set(names)) < len(names):
            raise ValueError("setting: each name once")
        return self


def load_sweep(
    name_or_path: str,
    grid: Sequence[str] = (),
    seeds: int | None = None,
    overrides: Sequence[str] = (),
    search: Mapping[str, Any] | None = None,
) -> tuple[Sweep, str]:
    """Return a sweep and its name, from a sweep's file or a scenario, with options laid on it.

    Args:
        name_or_path: A sweep's TOML file, which names its scenario, or a scenario.
        grid: ``key=value,value`` each.
        seeds: How many; None: as the file says.
        overrides: ``key=value`` each, for all settings.
        search: Keys of the table ``[search]``; with ``space`` they take the place of the file's
            table, else they are laid on it.

    Raises:
        FedlabError: With everything that is wrong with them.
    """
    raw, name = _content(name_or_path)
    for text in grid:
        key, values = grid_of(text)
        raw.setdefault("grid", {})[key] = values
    if seeds is not None:
        raw["seeds"] = seeds
    if search:
        raw["search"] = search if "space" in search else _laid_on_search(raw, search)
    raw["set"] = {**raw.get("set", {}), **dict(override_of(text) for text in overrides)}
    return _checked(raw, name_or_path), name


def _laid_on_search(raw: Mapping[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's table ``[search]`` with keys laid on it.

    Raises:
        FedlabError: If it has none.
    """
    if not isinstance(raw.get("search"), dict):
        raise FedlabError(
            f"--{next(iter(keys))} is of a search; give --search KEY=LOW:HIGH, too, or a sweep's "
            "file with a table [search]"
        )
    return {**raw["search"], **keys}


def _content(name_or_path: str) -> tuple[dict[str, Any], str]:
    """Return the content of a sweep's file with dotted keys, and its name."""
    if name_or_path in built_in():
        return {"scenario": name_or_path}, name_or_path
    path = find(name_or_path)
    raw = parsed(text_of(path), str(path))
    if "scenario" not in raw:
        return {"scenario": str(path.absolute())}, path.stem
    _find_beside(path.parent, raw)
    for table in ("set", "grid"):
        if isinstance(raw.get(table), dict):
            raw[table] = dotted_keys(raw[table])
    search = raw.get("search")
    if isinstance(search, dict) and isinstance(search.get("space"), dict):
        search["space"] = dict(_ranges(search["space"]))
    settings = raw.get("setting", [])
    for setting in settings if isinstance(settings, list) else []:
        if isinstance(setting, dict):
            _find_beside(path.parent, setting)
            if isinstance(setting.get("keys"), dict):
                setting["keys"] = dotted_keys(setting["keys"])
    return raw, path.stem


def _ranges(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what each key is drawn from, by dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not value.keys() & Range.model_fields.keys():
            yield from _ranges(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _find_beside(folder: Path, table: dict[str, Any]) -> None:
    """Let a table name its scenario by an absolute path, unless it is a built-in one."""
    named = table.get("scenario")
    if isinstance(named, str) and named not in built_in():
        table["scenario"] = str((folder / named).absolute())


def _checked(raw: Mapping[str, Any], where: str) -> Sweep:
    content = _without_lists(raw)
    try:
        return Sweep.model_validate(content, strict=True)
    except ValidationError as error:
        problems = sentences(error, Sweep, content)
        if all(not problem["loc"] for problem in error.errors()):
            problems = [problem.removeprefix("scenario: ") for problem in problems]
        raise FedlabErrors([f"{where}: {problem}" for problem in problems]) from error


def _without_lists(value: Any) -> Any:
    """Return TOML content with tuples for lists, which is what settings hold."""
    if isinstance(value, Mapping):
        return {key: _without_lists(part) for key, part in value.items()}
    return tuple(map(_without_lists, value)) if isinstance(value, list | tuple) else value


def dotted_keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's values by dotted keys, whether it is nested or has such keys already.

    Example:
        >>> dotted_keys({"client": {"epochs": 2}, "strategy.name": "fedadam"})
        {'client.epochs': 2, 'strategy.name': 'fedadam'}
    """
    return {".".join(key): _at(table, key) for key in leaves(dict(table))}


def _at(table: Any, key: Iterable[str]) -> Any:
    for part in key:
        table = table[part]
    return table
