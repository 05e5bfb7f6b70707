"""What the global model reaches on each site's test examples, beside pooled and lone training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedlab.metrics.names import MetricName
from fedlab.metrics.sites import site_rows
from fedlab.results.reading import RunRecord

POOLED, ALONE = "pooled", "alone"


@dataclass(frozen=True)
class SiteFigures:
    """The figures of a run's last round that has some.

    Attributes:
        metric: The metric that the run is judged by.
        round: The round.
        sites: By site, the number of its test examples and its metrics.
        compared: "pooled" and "alone" to the metric's value by site: of one model on all clients'
            examples, and of the site's own client without any other.
    """

    metric: MetricName
    round: int
    sites: Mapping[str, Mapping[str, float]]
    compared: Mapping[str, Mapping[str, float]]

    @property
    def sentence(self) -> str:
        """Return the best and the worst site in one line."""
        values = {site: row.get(self.metric.name, float("nan")) for site, row in self.sites.items()}
        better = self.metric.better
        best = worst = next(iter(values))
        for site, value in values.items():
            best = site if better(value, values[best]) else best
            worst = site if better(values[worst], value) else worst
        text = self.metric.text
        return (
            f"Test {self.metric.label} of {len(values)} sites: from {text(values[worst])} "
            f"({worst}) to {text(values[best])} ({best})"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headers and rows, a site each."""
        headers, rows = site_rows(self.sites)
        for who, by_site in self.compared.items():
            headers = [*headers, f"{self.metric.label}, {who}"]
            rows = [
                [*row, self.metric.text(by_site[site]) if site in by_site else "–"]
                for row, site in zip(rows, self.sites, strict=True)
            ]
        return headers, rows


def site_figures(record: RunRecord) -> SiteFigures | None:
    """Return each site's figures, or None where the test set has no sites."""
    row = next((row for row in reversed(record.tested) if row.sites), None)
    metric = record.metric
    if row is None or metric is None:
        return None
    compared = {POOLED: _pooled(record, metric.name), ALONE: _alone(record, metric.name)}
    told = {who: values for who, values in compared.items() if values}
    return SiteFigures(metric, row.round, row.sites, told)


def _pooled(record: RunRecord, metric: str) -> dict[str, float]:
    lines = [line for line in record.baselines if line.baseline == "centralised" and line.sites]
    if not lines:
        return {}
    return {site: row[metric] for site, row in lines[-1].sites.items() if metric in row}


def _alone(record: RunRecord, metric: str) -> dict[str, float]:
    """Return what each site's client reaches alone on the site's own test examples."""
    names = record.partition.names if record.partition else []
    found = {}
    for line in record.baselines:
        if line.baseline != "local" or line.client is None or line.client >= len(names):
            continue
        site = names[line.client]
        if metric in line.sites.get(site, {}):
            found[site] = line.sites[site][metric]
    return found
