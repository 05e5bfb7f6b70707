"""Who holds what: sizes, classes and skew of a partition, as ``partition.json`` states them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.inequality import gini
from fedlab.data.partition import Partition, SitePartition

MOST_CLIENTS_DESCRIBED = 5000
_MOST_CLASSES_LISTED = 128


def described_clients(partition: Partition) -> range:
    """Return the clients that statistics are of: all, or at most 5000 at even distances."""
    population = len(partition)
    step = -(-population // MOST_CLIENTS_DESCRIBED)
    return range(0, population, step)


def statistics(partition: Partition, examples: Examples, task: Task) -> dict[str, Any]:
    """Return who holds what, as ``partition.json`` states it (see docs/run-folder.md).

    Names are left out where clients have none; labels, counts and the label skew where the task
    has no classes; labels and counts where it has more than 128. Of a large population some
    clients at even distances are described, and ``described`` says which.
    """
    looked_at = described_clients(partition)
    sizes = np.array([partition.size(client) for client in looked_at], dtype=np.int64)
    skew = {"size_gini": gini(sizes)}
    described: dict[str, Any] = {"clients": len(partition), "sizes": sizes.tolist()}
    if len(looked_at) < len(partition):
        described["described"] = {"clients": len(looked_at), "every": looked_at.step}
    if partition.names:
        described["names"] = [partition.names[client] for client in looked_at]
    counts = _counts(partition, looked_at, examples, task)
    if counts is not None:
        skew |= _label_skew(counts)
        if task.classes <= _MOST_CLASSES_LISTED:
            described["labels"] = list(task.labels) or [str(k) for k in range(task.classes)]
            described["counts"] = counts.tolist()
    return {**described, "skew": skew}


def _counts(
    partition: Partition, looked_at: range, examples: Examples, task: Task
) -> IntArray | None:
    """Return how many examples of each class each client holds, or None where that is not known."""
    if task.kind != "classification":
        return None
    if isinstance(partition, SitePartition) and not partition.has_rows:
        told = partition.class_counts
        return np.array([told[client] for client in looked_at], np.int64) if told else None
    rows = [partition.rows(client) for client in looked_at]
    return _class_counts(rows, examples, task.classes)


def _class_counts(rows: Sequence[IntArray], examples: Examples, classes: int) -> IntArray:
    """Return how many examples of each class each client holds, (clients, classes)."""
    counts = np.zeros((len(rows), classes), dtype=np.int64)
    for client, own in enumerate(rows):
        labels = examples.targets_of(own).numpy()
        # The labels of clients without any are below 0.
        counts[client] = np.bincount(labels[labels >= 0], minlength=classes)
    return counts


def _label_skew(counts: IntArray) -> dict[str, float]:
    """Return the mean total variation distance to the pooled labels, and mean exp(entropy)."""
    counts = counts[counts.sum(axis=1) > 0]
    if not len(counts):
        # Nobody holds labels that are known.
        return {}
    shares = counts / counts.sum(axis=1, keepdims=True)
    pooled = counts.sum(axis=0) / counts.sum()
    logarithms = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    entropies = -(shares * logarithms).sum(axis=1)
    return {
        "label_distance": float(0.5 * np.abs(shares - pooled).sum(axis=1).mean()),
        "effective_classes": float(np.exp(entropies).mean()),
    }
