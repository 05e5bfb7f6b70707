"""What one model reaches on the test examples of each site: hospital, author, sensor, domain.

Sites are the groups of the server's test set (``Examples.groups``). Of data with more than 100 of
them no site's figures are reported: roles of plays and writers of digits come in hundreds, and a
run's lines are for people, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fedlab.metrics.names import metric_name

if TYPE_CHECKING:  # reports are read and drawn without torch
    from fedlab.data.dataset import Examples, IntArray
    from fedlab.metrics.evaluation import Evaluation

SiteMetrics = dict[str, dict[str, float]]
MOST_SITES = 100
EXAMPLES = "examples"
"""The key of how many test examples a site has, beside its metrics."""


def reported_groups(test: Examples) -> IntArray | None:
    """Return the group of each test example, (N,), where sites' figures are reported.

    They are of two to 100 groups.
    """
    groups = test.groups
    if groups is None or not 2 <= len(np.unique(groups)) <= MOST_SITES:
        return None
    return groups


def measured_sites(evaluation: Evaluation, test: Examples) -> dict[str, SiteMetrics]:
    """Return ``{"sites": {name: {"examples": 104, "loss": 0.4, ...}}}``, or nothing.

    Args:
        evaluation: Of the test examples, with sites.
        test: Says how the sites are called and how many examples each has.
    """
    groups = reported_groups(test)
    by_site = evaluation.compute_sites()
    if groups is None or not by_site:
        return {}
    counts = np.bincount(groups)
    names = test.group_names or tuple(map(str, range(len(counts))))
    return {
        "sites": {
            names[site]: {EXAMPLES: int(counts[site]), **metrics}
            for site, metrics in sorted(by_site.items())
        }
    }


def site_rows(sites: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Return headers and rows of a table of sites: name, test examples, and each metric."""
    names = list(dict.fromkeys(name for row in sites.values() for name in row if name != EXAMPLES))
    known = [metric_name(name) for name in names]
    rows = [
        [
            site,
            f"{row.get(EXAMPLES, 0):,.0f}",
            *(m.text(row.get(m.name, math.nan)) if m.name in row else "–" for m in known),
        ]
        for site, row in sites.items()
    ]
    return ["site", "test examples", *(metric.label for metric in known)], rows
