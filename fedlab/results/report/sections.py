"""The sections of a report: what each shows, and the lines of the run folder that it uses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from fedlab.metrics.names import MetricName, headline, metric_name
from fedlab.metrics.quantities import NBSP, bytes_text, rounds_text, seconds_text
from fedlab.metrics.spread import describe
from fedlab.results.baselines import LABELS, baseline_curve, local_spread
from fedlab.results.cross_site import sentence_of, table_of
from fedlab.results.drawing import plots
from fedlab.results.drawing.partition import draw_partition
from fedlab.results.own_parts import own_parts, part_name
from fedlab.results.reading import RunRecord
from fedlab.results.report.tables import Table, confusions_table, failure_tables, rounds_table
from fedlab.results.rows import RoundRow
from fedlab.results.sites import site_figures
from fedlab.results.unseen import unseen_figures, unseen_rows


@dataclass(frozen=True)
class Picture:
    """A plot: the name of its PNG file, the figure, and a description in words.

    The name stands in a file's name and in identifiers of the page: it is made of plain letters,
    whatever a metric is called. A ``wide`` plot scrolls horizontally on a phone rather than
    shrinking until illegible.
    """

    name: str
    figure: Figure
    alt: str
    wide: bool = False

    def __post_init__(self) -> None:
        plain = re.sub("[^A-Za-z0-9_-]+", "-", self.name)[:60]
        object.__setattr__(self, "name", plain)


@dataclass(frozen=True)
class Section:
    """One section of a report."""

    key: str
    title: str
    lead: str
    source: str
    pictures: list[Picture] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def sections(record: RunRecord) -> list[Section]:
    """Return the sections for which the run has data, in the order of the page."""
    builders = (
        learning,
        sites,
        clients,
        cross_site,
        unseen,
        partition,
        confusion,
        communication,
        seconds,
        failures,
    )
    return [section for build in builders if (section := build(record))]


def learning(record: RunRecord) -> Section | None:
    """Test metric and loss over rounds, with baselines."""
    metric, best = record.metric, record.best
    if metric is None or best is None:
        return None
    shown = dict.fromkeys((metric.name, "loss"))
    pictures = [
        Picture(
            f"test-{name}", plots.draw_curves(record, metric_name(name)), _curve_alt(record, name)
        )
        for name in shown
        if any(name in row.test for row in record.tested)
    ]
    last = record.tested[-1]
    lead = (
        f"After round {last.round} the global model has {metric.text(last.value(metric.name))} "
        f"test {metric.label}; its best is {metric.text(best.value(metric.name))}, in round "
        f"{best.round}."
    )
    if local_spread(record, metric):
        lead += f" The band holds the middle 80{NBSP}% of the clients that train alone."
    source = f"metrics.jsonl, key test, {_rounds(record.tested)}"
    if record.baselines:
        names = ", ".join(dict.fromkeys(row.baseline for row in record.baselines))
        source += f"; baselines.jsonl ({names})"
    return Section("learning", "Learning", lead, source, pictures, tables=[rounds_table(record)])


def sites(record: RunRecord) -> Section | None:
    """What the global model reaches on the test examples of each site."""
    found = site_figures(record)
    if found is None:
        return None
    lead = f"After round {found.round}: {_lower(found.sentence)}."
    source = f"metrics.jsonl, key sites, round {found.round}"
    source += "; baselines.jsonl, key sites" if found.compared else ""
    headers, rows = found.table()
    table = Table(headers, rows, f"Each site ({len(rows)})")
    return Section("sites", "Sites", lead, source, tables=[table])


def clients(record: RunRecord) -> Section | None:
    """Differences between clients: over rounds, and at the end."""
    phase = "clients" if any(row.clients for row in record.rounds) else "train"
    rows = [row for row in record.rounds if getattr(row, phase)]
    if not rows:
        return None
    metric = headline(getattr(rows[-1], phase))
    assert metric is not None
    part = f"on their own {part_name(record)}"
    what = part if phase == "clients" else "as reported after training"
    pictures = [
        Picture(
            "clients-over-rounds",
            plots.draw_spread(record, phase, metric),
            f"Clients' {metric.label} {what}: mean, spread and worst tenth over {_rounds(rows)}.",
        )
    ]
    spread = getattr(rows[-1], phase)[metric.name]
    lead = (
        f"{_capital(metric.label)} {what}: in round {rows[-1].round} the mean client has "
        f"{metric.text(spread.mean)}, the worst tenth {metric.text(spread.worst_decile)}."
    )
    source = f"metrics.jsonl, key {phase}.{metric.name}, {_rounds(rows)}"
    line_phase = "evaluate" if phase == "clients" else "train"
    final = record.client_values(line_phase, metric.name)
    facts: list[tuple[str, str]] = []
    if final and any(map(math.isfinite, final[1].values())):
        values = [value for value in final[1].values() if math.isfinite(value)]
        pictures.append(
            Picture(
                "clients-final",
                plots.draw_histogram(values, metric),
                f"Histogram of {len(values)} clients' {metric.label} in round {final[0]}.",
            )
        )
        facts = _fairness(values, metric)
        source += f"; clients.jsonl, phase {line_phase}, round {final[0]}, {len(values)} clients"
    own = own_parts(record)
    if own is not None and len(own.means) > 1:
        lead += f" {own.sentence}."
        facts += [(f"{who} (mean)", own.metric.text(mean)) for who, mean in own.means.items()]
        source += "; baselines.jsonl, key own" if "each alone" in own.means else ""
    best = record.summary.best_by_validation if record.summary else None
    if best is not None:
        lead += f" {best.sentence}."
        source += f"; metrics.jsonl, key validation.{best.metric}, round {best.round}"
    return Section("clients", "Clients", lead, source, pictures, facts)


def unseen(record: RunRecord) -> Section | None:
    """What the model reaches on clients that never train, after steps on their own examples."""
    found, rows = unseen_figures(record), unseen_rows(record)
    if found is None:
        return None
    headers, cells = found.table()
    picture = Picture(
        "new-clients",
        plots.draw_unseen(rows, found.metric),
        f"New clients' {found.metric.label} after each number of steps, over {_rounds(rows)}.",
    )
    lead = f"Clients that never train, after steps on their own examples. {found.sentence}."
    source = f"metrics.jsonl, key unseen, round {found.round}"
    table = Table(headers, cells, "After each number of steps, means over clients", words=0)
    return Section("unseen", "New clients", lead, source, [picture], tables=[table])


def partition(record: RunRecord) -> Section | None:
    """The partition: which client holds which examples."""
    found = record.partition
    if not found:
        return None
    sizes = np.asarray(found.sizes)
    some = f"; {len(sizes):,} of them looked at" if found.described else ""
    lead = (
        f"{found.clients:,} clients by “{found.partitioner}”{some}, {sizes.sum():,} "
        f"examples: {sizes.min():,} to {sizes.max():,} a client, {np.median(sizes):,.0f} in the "
        "middle."
    )
    names = {
        "size_gini": "Gini coefficient of sizes",
        "label_distance": "label distance (0 IID, 1 disjoint)",
        "effective_classes": "effective classes a client",
    }
    facts = [(names.get(key, key), f"{value:.3g}") for key, value in found.skew.items()]
    alt = "Who holds what: " + lead
    pictures = [Picture("partition", draw_partition(found), alt, wide=True)]
    return Section("partition", "Partition", lead, "partition.json", pictures, facts)


def cross_site(record: RunRecord) -> Section | None:
    """Every client's model on every client's own part, where it was measured."""
    found = record.cross_site
    if found is None:
        return None
    table = table_of(found)
    picture = Picture("cross-site", plots.draw_cross_site(found), sentence_of(found))
    rows = [list(row) for row in table.rows]
    return Section(
        "cross-site",
        "Client by client",
        sentence_of(found),
        f"cross-site.json, round {found.round}",
        [picture],
        tables=[Table(list(table.headers), rows, f"Each client's model ({len(found.clients)})")],
    )


def confusion(record: RunRecord) -> Section | None:
    """The confusion matrix of the final model."""
    found = record.confusion
    if found is None or not found.matrix:
        return None
    counts = np.asarray(found.matrix)
    right, total = int(np.trace(counts)), int(counts.sum())
    lead = f"{right:,} of {total:,} test examples are classified correctly."
    picture = Picture(
        "confusion",
        plots.draw_confusion(found.labels, found.matrix),
        f"Confusion matrix of {len(found.labels)} classes; {lead}",
    )
    return Section(
        "confusion",
        "Confusion",
        lead + " Rows are shaded by the share of the true class.",
        "confusion.json (final weights, server's test set)",
        [picture],
        tables=[confusions_table(found)],
    )


def communication(record: RunRecord) -> Section | None:
    """The communication cost in bytes."""
    metric, rows = record.metric, [row for row in record.rounds if row.bytes_down or row.bytes_up]
    if metric is None or not rows:
        return None
    down, up = sum(row.bytes_down for row in rows), sum(row.bytes_up for row in rows)
    answers = sum(row.replies for row in rows)
    lead = f"{bytes_text(down)} went down to clients and {bytes_text(up)} came back up."
    facts = [("a round, both ways", bytes_text((down + up) / len(rows)))]
    if answers:
        facts.append(("per client's update, up", bytes_text(up / answers)))
    saved = sum(row.bytes_saved for row in rows)
    source = f"metrics.jsonl, keys bytes_down, bytes_up, {_rounds(rows)}"
    if saved:
        names = ", ".join(table.name for table in record.scenario.updates)
        share = 100 * saved / (saved + up)
        facts.append(("saved on the way up", f"{bytes_text(saved)}, {share:.0f}{NBSP}%"))
        lead += f" Without update processors ({names}) it would have been {bytes_text(saved + up)}."
        source = f"metrics.jsonl, keys bytes_down, bytes_up, bytes_saved, {_rounds(rows)}"
    down_saved = sum(row.bytes_down_saved for row in rows)
    if down_saved:
        names = ", ".join(table.name for table in record.scenario.downlink)
        share = 100 * down_saved / (down_saved + down)
        facts.append(("saved on the way down", f"{bytes_text(down_saved)}, {share:.0f}{NBSP}%"))
        lead += f" Without {names} on the downlink {bytes_text(down_saved)} more had gone down."
        source = source.replace("bytes_up", "bytes_up, bytes_down_saved", 1)
    picture = Picture(
        "communication",
        plots.draw_communication(record, metric),
        f"Test {metric.label} against {bytes_text(down + up)} moved in {_rounds(rows)}.",
    )
    return Section("communication", "Communication", lead, source, [picture], facts)


def seconds(record: RunRecord) -> Section | None:
    """The time spent in each phase."""
    rounds, by_phase = plots.phase_seconds(record)
    if not by_phase:
        return None
    total = sum(values.sum() for values in by_phase.values())
    largest = max(by_phase, key=lambda phase: by_phase[phase].sum())
    share = by_phase[largest].sum() / total
    lead = f"{seconds_text(total)} in all, {_percent(share)} of it in “{largest}”."
    facts = [
        (phase, f"{seconds_text(values.sum())} ({_percent(values.sum() / total)})")
        for phase, values in by_phase.items()
    ]
    picture = Picture("seconds", plots.draw_seconds(record), f"Seconds a round by phase: {lead}")
    source = f"metrics.jsonl, key seconds, {rounds_text(rounds)}"
    return Section("seconds", "Time", lead, source, [picture], facts)


def failures(record: RunRecord) -> Section | None:
    """Failed clients and the reasons; included also if no client failed."""
    trained = [row for row in record.rounds if row.cohort]
    if not trained:
        return None
    if not record.failures:
        lead = f"No client failed in {_rounds(trained)}.{_stragglers(trained)}"
        return Section("failures", "Failures", lead, "metrics.jsonl, key failures")
    count = len(record.failures)
    asked = sum(row.cohort for row in trained)
    lead = (
        f"{count:,} failure{'s' if count > 1 else ''} among {asked:,} assignments; failed clients "
        f"were left out of the mean.{_stragglers(trained)}"
    )
    source = f"failures.jsonl, {rounds_text([row.round for row in record.failures])}"
    return Section("failures", "Failures", lead, source, tables=failure_tables(record))


def _curve_alt(record: RunRecord, name: str) -> str:
    metric, first, last = metric_name(name), record.tested[0], record.tested[-1]
    text = (
        f"Test {metric.label} over rounds: {metric.text(first.value(name))} in round "
        f"{first.round}, {metric.text(last.value(name))} in round {last.round}"
    )
    for baseline, label in LABELS.items():
        curve = baseline_curve(record, baseline, metric)
        text += f"; {label} ends at {metric.text(curve.values[-1])}" if curve else ""
    local = local_spread(record, metric) if metric == record.metric else None
    text += f"; clients alone reach {metric.text(local.mean)} on average" if local else ""
    return f"{text}."


def _fairness(values: list[float], metric: MetricName) -> list[tuple[str, str]]:
    found = describe(values, metric.higher_is_better)
    facts = [
        ("mean", metric.text(found["mean"])),
        ("standard deviation", metric.text(found["std"])),
        ("worst tenth", metric.text(found["worst_decile"])),
        ("lowest to highest", f"{metric.text(found['min'])} to {metric.text(found['max'])}"),
    ]
    if "gini" in found:
        facts.append(("Jain's fairness index (1: all equal)", f"{found['jain_index']:.3f}"))
        facts.append(("Gini coefficient (0: all equal)", f"{found['gini']:.3f}"))
    return facts


def _stragglers(rows: list[RoundRow]) -> str:
    """Return a sentence on clients that were dropped for being slow, if any."""
    dropped = sum(row.dropped for row in rows)
    return f" {dropped:,} stragglers were dropped (client.stragglers)." if dropped else ""


def _rounds(rows: list[RoundRow]) -> str:
    return rounds_text([row.round for row in rows])


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{NBSP}%" if share >= 0.01 else f"< 1{NBSP}%"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
