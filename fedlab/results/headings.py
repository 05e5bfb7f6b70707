"""What stands around a run's figures: a description, headline figures, its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from fedlab.files import DEPLOYED
from fedlab.metrics.quantities import NBSP, bytes_text, count_text, seconds_text
from fedlab.results.reading import RunRecord


@dataclass(frozen=True)
class Tile:
    """A headline figure: label, value, and a note."""

    label: str
    value: str
    note: str = ""


def subtitle(record: RunRecord) -> str:
    """Return a description of the run in one line."""
    scenario = record.scenario
    model = scenario.model.name
    if scenario.model.pretrained:
        model = f"pretrained {model}"
    parts = [
        f"{model} on {scenario.data.name}" if model else "",
        _clients(record) if record.clients else "",
        " + ".join(name for name in (scenario.strategy.name, scenario.client.name) if name),
        f"{scenario.rounds if scenario.rounds is not None else len(record.rounds)} rounds",
        f"seed {scenario.seed}",
    ]
    return " · ".join(part for part in parts if part)


def _clients(record: RunRecord) -> str:
    """Return how many clients there are, and what they are."""
    if record.scenario.engine.name == DEPLOYED:
        return f"flower deployment × {record.clients:,} sites"
    return f"{record.clients:,} clients ({record.scenario.data.partition.name})"


def tiles(record: RunRecord) -> list[Tile]:
    """Return the headline figures."""
    found = []
    metric, best = record.metric, record.best
    if metric and best:
        last = record.tested[-1]
        note = f"best {metric.text(best.value(metric.name))} in round{NBSP}{best.round}"
        value = metric.text(last.value(metric.name))
        found.append(Tile(f"test {metric.label}, round{NBSP}{last.round}", value, note))
    spread = next((row.clients for row in reversed(record.rounds) if row.clients), {})
    if metric and metric.name in spread:
        mean = metric.text(spread[metric.name].mean)
        worst = metric.text(spread[metric.name].worst_decile)
        found.append(Tile("worst tenth of clients", worst, f"mean client {mean}"))
    rounds = max(len([row for row in record.rounds if row.cohort]), 1)
    each = bytes_text(record.bytes_moved / rounds)
    found.append(Tile("communication", bytes_text(record.bytes_moved), f"{each} a round"))
    each = seconds_text(record.seconds / rounds)
    found.append(Tile("time", seconds_text(record.seconds), f"{each} a round"))
    parameters = record.summary.parameters if record.summary else {}
    if "trained" in parameters:
        total = count_text(parameters.get("total", 0))
        found.append(Tile("trained parameters", count_text(parameters["trained"]), f"of {total}"))
    failed = sum(row.failures for row in record.rounds)
    asked = sum(row.cohort for row in record.rounds)
    found.append(Tile("failures", f"{failed:,}", f"of {asked:,} assignments"))
    return found


def pairs_of(content: Mapping[str, JsonValue], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested JSON as pairs of key path and text."""
    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, dict):
            pairs += pairs_of(value, f"{prefix}{key}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{prefix}{key}", text))
    return pairs
