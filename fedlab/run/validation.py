"""What the clients' validation parts say of a round: means over clients, weighted by examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlab.data.federation import Federation
from fedlab.engine.reports import Report
from fedlab.metrics.names import BEFORE, GLOBAL, NOT_METRICS, VALIDATION


def validation_means(reports: Sequence[Report], federation: Federation) -> dict[str, float]:
    """Return the means over clients of what they measured on their validation parts.

    Each client counts by the examples of that part. Clients that are evaluated on a test part
    report the other under names that begin with "validation_"; metrics of other models than the one
    that a client uses are left out.
    """
    has_test = bool(federation.client_test)
    prefix = VALIDATION if has_test else ""
    values: dict[str, list[float]] = {}
    shares: dict[str, list[int]] = {}
    for report in reports:
        size = federation.part_sizes(report.client)[1] if has_test else report.examples
        if report.phase != "evaluate" or not size:
            continue
        for name, value in report.metrics.items():
            plain = name.removeprefix(prefix)
            is_own = name.startswith(prefix) and not name.startswith((GLOBAL, BEFORE))
            if is_own and plain not in NOT_METRICS:
                values.setdefault(plain, []).append(value)
                shares.setdefault(plain, []).append(size)
    return {name: float(np.average(values[name], weights=shares[name])) for name in values}
