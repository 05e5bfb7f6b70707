"""Reading the folder of a sweep: which settings it has, and which runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pydantic import Field, JsonValue

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.parsing import read_object
from fedlab.results.reading import RunRecord
from fedlab.results.rows import Row


class MemberRow(Row):
    """One run of a sweep.

    Attributes:
        setting: The name of its setting.
        keys: What is set, by key.
        seed: Its seed.
        run: The name of its folder among the sweep's runs.
    """

    setting: str
    keys: dict[str, JsonValue] = Field(default_factory=dict)
    seed: int
    run: str = Field(pattern=r"^[A-Za-z0-9_.=+-]+$")


class SweepFile(Row):
    """Content of ``sweep.json``.

    Attributes:
        scenario: The name of what is run.
        members: The runs.
    """

    scenario: str = ""
    members: list[MemberRow] = Field(default_factory=list)


def is_sweep(path: Path) -> bool:
    """Return whether a folder is that of a sweep."""
    return (path / files.SWEEP).is_file()


def read_sweep(path: Path) -> SweepFile:
    """Return what a sweep's folder says of it.

    Raises:
        FedlabError: If it is none, or its file is damaged.
    """
    found = read_object(path / files.SWEEP, SweepFile)
    if found is None:
        raise FedlabError(f"{path} is not the folder of a sweep: it has no {files.SWEEP}")
    return found


def records_in(paths: Iterable[Path]) -> list[RunRecord]:
    """Return the runs in some folders: a run folder's own, or those of a sweep that have begun.

    A sweep's runs are called after their settings.

    Raises:
        FedlabError: If a folder is neither, or a file is damaged.
    """
    found: list[RunRecord] = []
    for path in paths:
        if not is_sweep(path):
            found.append(RunRecord.load(path))
            continue
        for member in read_sweep(path).members:
            run = path / files.SWEEP_RUNS / member.run
            if (run / files.METRICS).is_file():
                found.append(replace(RunRecord.load(run), alias=member.setting))
    return found
