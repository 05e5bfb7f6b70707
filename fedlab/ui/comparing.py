"""Runs side by side: settings with their seeds, as ``fedlab compare`` has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from fedlab.errors import FedlabError, one_line
from fedlab.metrics.names import MetricName, metric_name
from fedlab.results.comparison import Comparison
from fedlab.results.group_curves import curve, megabytes, seconds
from fedlab.results.reading import RunRecord, value_text
from fedlab.results.run_groups import RunGroup, seed_of
from fedlab.results.settings_comparison import SettingsComparison
from fedlab.results.text_tables import TextTable
from fedlab.ui.rounds import table_json

MOST_KEYS = 60
"""Keys in which settings differ that are shown."""


def compare(records: Sequence[RunRecord], left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return runs side by side, for the page.

    Args:
        records: The runs.
        left_out: A sentence for each run that was asked for and cannot be read.

    Raises:
        FedlabError: If they learn different things, or there are not two.
    """
    evaluated = [record for record in records if record.metric is not None]
    notes = [*left_out, *(_unevaluated(r) for r in records if r.metric is None)]
    if len(evaluated) < 2:
        reason = "; ".join(notes) or "choose two runs or more, or a sweep"
        raise FedlabError(f"there are not two runs to compare: {reason}")
    comparison = Comparison.of(evaluated)
    groups = comparison.groups
    tables: list[TextTable | None]
    if any(len(group.records) > 1 for group in groups):
        settings = SettingsComparison.of(comparison)
        tables, further = [settings.table(), settings.differences()], settings.notes()
    else:
        tables, further = [comparison.table(), comparison.fairness_table()], []
    return {
        "metrics": [_metric(comparison.metric, name) for name in _metrics(evaluated)],
        "groups": [_group(group, evaluated) for group in groups],
        "tables": [table_json(table) for table in tables if table is not None and table.rows],
        "differs": table_json(_differences(groups)),
        "notes": [*notes, *comparison.notes, *further],
    }


def _unevaluated(record: RunRecord) -> str:
    return f"{one_line(record.name, 80)} is left out: no round of it has been evaluated yet"


def _metrics(records: Iterable[RunRecord]) -> list[str]:
    """Return the test metrics that all runs have, in the order of the first."""
    names = [
        dict.fromkeys(name for row in record.tested for name in row.test) for record in records
    ]
    return [name for name in names[0] if all(name in others for others in names)]


def _metric(headline: MetricName, name: str) -> dict[str, Any]:
    found = metric_name(name)
    return {
        "name": name,
        "label": f"test {found.label}",
        "fraction": found.is_fraction,
        "first": name == headline.name,
    }


def _group(group: RunGroup, records: Sequence[RunRecord]) -> dict[str, Any]:
    """Return a setting with its curves: means over seeds, and their 95 % intervals."""
    curves = {}
    rounds: list[int] = []
    for name in _metrics(records):
        rounds, found = curve(group, metric_name(name))
        curves[name] = {
            "rounds": rounds,
            "mean": [estimate.mean for estimate in found],
            "low": [_or_none(estimate.low) for estimate in found],
            "high": [_or_none(estimate.high) for estimate in found],
        }
    return {
        "name": group.name,
        "runs": [{"name": one_line(r.name, 120), "seed": seed_of(r)} for r in group.records],
        "curves": curves,
        "megabytes": megabytes(group, rounds),
        "seconds": seconds(group, rounds),
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _differences(groups: Sequence[RunGroup]) -> TextTable:
    """Return the keys in which settings differ, a row each."""
    keys = list(dict.fromkeys(key for group in groups for key in group.keys))
    headers = ["key", *(group.name for group in groups)]
    rows = [[key, *(_value(group, key) for group in groups)] for key in keys[:MOST_KEYS]]
    more = f" (the first {MOST_KEYS} of {len(keys)})" if len(keys) > MOST_KEYS else ""
    return TextTable(f"What differs{more}", headers, rows, texts=len(headers))


def _value(group: RunGroup, key: str) -> str:
    if key not in group.keys:
        return "–"
    value = group.keys[key]
    return one_line(value if isinstance(value, str) else value_text(value), 120)
