"""What the line of a round in ``metrics.jsonl`` says of its clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedlab.engine.reports import Exchange, Report
from fedlab.metrics.names import NOT_METRICS, REPEATED_STEPS, metric_name
from fedlab.metrics.spread import describe


def spread_over_clients(key: str, reports: Sequence[Report]) -> dict[str, Any]:
    """Return how each metric is spread over the clients that have examples, under ``key``.

    Args:
        key: "train" or "clients".
        reports: What clients reported; where none counts, the line has no such key.
    """
    counted = [report.metrics for report in reports if report.examples]
    if not counted:
        return {}
    # A client's examples may not define all of them, as AUROC with a single class.
    names = [n for n in dict.fromkeys(n for m in counted for n in m) if n not in NOT_METRICS]
    plain = {name: name.removeprefix("train_") for name in names}
    return {
        key: {
            plain[name]: describe(
                [metrics[name] for metrics in counted if name in metrics],
                higher_is_better=metric_name(plain[name]).higher_is_better,
            )
            for name in names
        }
    }


def cost(cohort: int, dropped: int, trained: Exchange, evaluated: Exchange) -> dict[str, Any]:
    """Return how many clients took part, the bytes that travelled, and steps computed twice.

    Args:
        cohort: How many were asked to train.
        dropped: How many of them are stragglers that nobody waited for.
        trained: The exchange of training.
        evaluated: That of evaluation.
    """
    down_saved = trained.bytes_down_saved + evaluated.bytes_down_saved
    repeated = sum(report.metrics.get(REPEATED_STEPS, 0) for report in trained.reports)
    return {
        "cohort": cohort,
        "replies": len(trained.reports),
        **({"dropped": dropped} if dropped else {}),
        "failures": len(trained.failures) + len(evaluated.failures),
        "bytes_down": trained.bytes_down + evaluated.bytes_down,
        "bytes_up": trained.bytes_up + evaluated.bytes_up,
        **({"bytes_saved": trained.bytes_saved} if trained.bytes_saved else {}),
        **({"bytes_down_saved": down_saved} if down_saved else {}),
        **({REPEATED_STEPS: int(repeated)} if repeated else {}),
    }
