"""What a round's model reaches on clients that never train, as the round's line has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fedlab.engine.reports import Report
from fedlab.metrics.names import by_steps
from fedlab.run.round_record import spread_over_clients

PHASE = "unseen"
"""The phase in the lines of ``clients.jsonl``, and the key in those of ``metrics.jsonl``."""


def of_unseen(reports: Sequence[Report]) -> list[Report]:
    """Return reports of evaluations as those of unseen clients."""
    return [replace(report, phase=PHASE) for report in reports]


def unseen_record(reports: Sequence[Report]) -> dict[str, Any]:
    """Return how each metric is spread over unseen clients, by the number of steps.

    Args:
        reports: What they reported; where none counts, the line has no such key.
    """
    parted = [(report, by_steps(report.metrics)) for report in reports if report.examples]
    steps = sorted({number for _, found in parted for number in found})
    return {
        str(number): spread_over_clients(
            PHASE, [replace(report, metrics=found.get(number, {})) for report, found in parted]
        )[PHASE]
        for number in steps
    }
