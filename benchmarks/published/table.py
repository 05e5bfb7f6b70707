"""A published table, described in a TOML file: scenario, rows, columns, and the figure to read."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from fedlab.errors import FedlabError, unknown
from fedlab.scenario import Scenario, load
from fedlab.settings import Settings

FOLDER = Path(__file__).parent / "tables"


class Figure(Settings):
    """The figure that is read from a run."""

    metric: str = "accuracy"
    of: Literal["test", "clients", "train", "local", "alone", "centralised", "random"] = Field(
        "test",
        description="the server's test set; the spread over clients' evaluation or training; or a "
        "baseline, whose lines are averaged ('alone': the local one on clients' own parts)",
    )
    statistic: Literal["mean", "std", "worst_decile", "min", "max"] = Field(
        "mean", description="of the spread over clients"
    )
    take: Literal["last", "best", "mean", "rounds"] = Field(
        "last",
        description="the last value, the best, the mean of the last ones, or the number of rounds "
        "to the target",
    )
    count: int = Field(10, ge=1, description="how many last values 'mean' averages")
    target: float | None = Field(None, description="for 'rounds'")

    @model_validator(mode="after")
    def _has_target(self) -> Self:
        if (self.take == "rounds") != (self.target is not None):
            raise ValueError("target goes with take = 'rounds', and take = 'rounds' needs it")
        return self


class Keys(Settings):
    """A name, and the scenario's keys that it sets (``table.key=value`` each)."""

    name: str
    set: tuple[str, ...] = ()


class Column(Keys):
    """A column.

    Attributes:
        site: The site whose test examples the figures are of; such columns set nothing,
            and one run gives the figures of all of them.
    """

    site: str = ""

    @model_validator(mode="after")
    def _shares_its_run(self) -> Self:
        if self.site and self.set:
            raise ValueError("a column of one site sets no keys: its run is that of the others")
        return self


class Row(Keys):
    """A row; rows of one group are adjacent, and share a panel of the curves.

    Attributes:
        paper: The paper's figure by column, as printed.
        figure: The figure of this row's runs, if it differs from the table's.
    """

    group: str = ""
    paper: dict[str, str] = Field({})
    figure: Figure | None = None


class OwnCell(Settings):
    """Keys that one cell sets in addition to its row and column."""

    row: str
    column: str
    group: str = ""
    set: tuple[str, ...]


class Sweep(Settings):
    """A key that is tuned for every cell: each value is run, and the best figure is reported."""

    key: str
    values: tuple[float, ...] = Field(min_length=1)


class Table(Settings):
    """A published table.

    Attributes:
        title: One line.
        paper: The source: authors, year, venue, number of the table.
        description: The experiment, in a few sentences.
        budget: The cost of a run: rounds, clients, examples.
        differs: What was shortened or done differently, or "nothing".
        findings: The findings, written by whoever ran it.
        scenario: The scenario that every cell starts from, by name or path.
        set: Keys that all cells set.
        seeds: Default seeds.
        figure: The figure that is read from each run.
        also: A second figure of each run, for a second grid without the paper's figures.
        curves: The metric that is plotted over rounds, or nothing.
    """

    title: str
    paper: str
    description: str = ""
    budget: str
    differs: str
    findings: str = ""
    scenario: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    figure: Figure = Figure()
    also: Figure | None = None
    curves: str = ""
    sweep: Sweep | None = None
    rows: tuple[Row, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1)
    cells: tuple[OwnCell, ...] = ()

    def figure_of(self, row: Row) -> Figure:
        """Return the figure of a row's runs."""
        return row.figure or self.figure


Place = tuple[str, str, str, int, float | None]
"""The place of a figure: group, row, column, seed and swept value."""


@dataclass(frozen=True)
class Cell:
    """One run of a table.

    Attributes:
        row, column: Its row and column.
        seed: The scenario's seed.
        value: The swept key's value, or None.
        overrides: The keys that it sets in the table's scenario.
    """

    row: Row
    column: Column
    seed: int
    value: float | None
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        column = "" if self.column.site else self.column.name
        words = [self.row.group, self.row.name, column]
        swept = [] if self.value is None else [f"{self.value:g}"]
        return "--".join([_slug(word) for word in words if word] + swept + [f"seed-{self.seed}"])

    @property
    def place(self) -> Place:
        """Return the place of its figure."""
        return self.row.group, self.row.name, self.column.name, self.seed, self.value

    def scenario(self, table: Table) -> Scenario:
        """Return the scenario of this run.

        Raises:
            FedlabError: If it is invalid.
        """
        return load(table.scenario, self.overrides)


def cells_of(table: Table, seeds: Iterable[int]) -> list[Cell]:
    """Return the runs of a table, seed by seed, then row by row."""
    values = table.sweep.values if table.sweep else (None,)
    return [
        Cell(row, column, seed, value, _overrides(table, row, column, seed, value))
        for seed, row, column, value in itertools.product(seeds, table.rows, table.columns, values)
    ]


def _overrides(
    table: Table, row: Row, column: Column, seed: int, value: float | None
) -> tuple[str, ...]:
    own = [
        override
        for cell in table.cells
        if (cell.row, cell.column, cell.group) == (row.name, column.name, row.group)
        for override in cell.set
    ]
    swept = [f"{table.sweep.key}={value}"] if table.sweep else []
    return (*table.set, *column.set, *row.set, *own, *swept, f"seed={seed}")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def names() -> list[str]:
    """Return the names of all tables."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_table(name: str, folder: Path = FOLDER) -> Table:
    """Return the table of this name.

    Raises:
        FedlabError: If there is none, or its file is invalid.
    """
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise FedlabError(unknown("table", name, names()))
    try:
        return Table.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise FedlabError(f"{path}: {error}") from error
