"""A run beside the one that it was forked from."""

from __future__ import annotations

from fedlab.results.reading import RunRecord, value_text


def changes_of(record: RunRecord) -> str:
    """Return what is another from the fork on, in words."""
    assert record.fork is not None
    return ", ".join(
        f"{key} {value_text(change.after)} in place of {value_text(change.before)}"
        for key, change in record.fork.changed.items()
    )


def against_parent(record: RunRecord) -> str:
    """Return a sentence on where a fork ends beside its parent; "" where there is nothing to say.

    Both are compared in the last round that both were tested in.
    """
    parent, metric = record.parent, record.metric
    if record.fork is None or parent is None or metric is None:
        return ""
    own = {row.round: row.value(metric.name) for row in record.tested}
    other = {row.round: row.value(metric.name) for row in parent.tested}
    common = [number for number in own if number in other and number > record.fork.round]
    if not common:
        return ""
    last = max(common)
    difference = own[last] - other[last]
    sign = "+" if difference >= 0 else "−"
    at = record.fork.round
    return (
        f"Forked from {parent.name} after round {at}: {changes_of(record)}. In round {last} "
        f"test {metric.label} is {metric.text(own[last])}, and {metric.text(other[last])} "
        f"there: {sign}{metric.difference(difference)}"
    )
