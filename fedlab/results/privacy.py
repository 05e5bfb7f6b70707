"""What a report tells of the machine, its user and the data: nothing that names a person's folders.

Every report shows paths from the home folder on, and no user's name. One that is made to be shared
leaves out more (:func:`shared`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tomli_w

from fedlab.files import SCENARIO, without_home
from fedlab.results.reading import RunRecord

PATH = "[path]"
_KEPT = {"fedlab", "python", "platform", "processor", "cores", "packages", "started"}
_ABSOLUTE = re.compile(r"""(?<![\w.~/:\\])(?:~?/|[A-Za-z]:[\\/]|\\\\)[^\s'",;:()<>\[\]]+""")
_BEGINS_A_PATH = re.compile(r"(?:~|/|\.\.?[/\\]|[A-Za-z]:[\\/]|\\\\)")


def at_home(record: RunRecord) -> RunRecord:
    """Return the record with paths from the home folder on, and without the user's name."""
    return _with_texts(record, without_home, without_home(record.scenario_text))


def shared(record: RunRecord) -> RunRecord:
    """Return the record without paths, command line, folder's name and names of clients and sites.

    Names of classes, the title and the description stay, as do package versions and the processor.
    """
    table = tomllib.loads(record.scenario_text)
    found = _with_texts(record, without_paths, tomli_w.dumps(_mapped(table, _setting)))
    partition = record.partition
    return replace(
        found,
        environment={key: v for key, v in found.environment.items() if key in _KEPT},
        partition=partition and partition.model_copy(update={"names": []}),
        rounds=[row.model_copy(update={"sites": _numbered(row.sites)}) for row in found.rounds],
        baselines=[
            row.model_copy(update={"sites": _numbered(row.sites)}) for row in found.baselines
        ],
        alias=f"the folder of this {SCENARIO}",
    )


def _numbered(sites: dict[str, Any]) -> dict[str, Any]:
    """Return sites' figures by number, in place of names of hospitals or persons."""
    return {f"site {number}": row for number, row in enumerate(sites.values(), 1)}


def without_paths(text: str) -> str:
    """Return a text in which whole paths are left out."""
    return _ABSOLUTE.sub(PATH, without_home(text))


def _setting(value: str) -> str:
    """Return a value of a scenario, or what stands for a path; it may have spaces in it."""
    return PATH if _BEGINS_A_PATH.match(value) else without_paths(value)


def _with_texts(record: RunRecord, change: Callable[[str], str], scenario: str) -> RunRecord:
    """Return the record with every text that may name files changed."""
    summary = record.summary
    return replace(
        record,
        scenario_text=scenario,
        environment=_mapped(record.environment, change),
        notes=[change(note) for note in record.notes],
        failures=[
            row.model_copy(update={"reason": change(row.reason), "traceback": ""})
            for row in record.failures
        ],
        summary=summary and summary.model_copy(update={"reason": change(summary.reason)}),
    )


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return JSON or TOML content with every text changed."""
    if isinstance(value, dict):
        return {key: _mapped(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [_mapped(part, change) for part in value]
    return change(value) if isinstance(value, str) else value
