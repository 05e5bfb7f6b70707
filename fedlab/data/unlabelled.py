"""Clients without labels: the target domains of domain adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from fedlab.data.dataset import Task
from fedlab.data.federation import Federation
from fedlab.data.partition import clients_named
from fedlab.data.sites.absent import AbsentExamples
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError

KEY = "data.unlabelled"


def without_labels(named: Sequence[int | str], federation: Federation) -> Federation:
    """Return a federation some of whose clients have no labels to train or validate by.

    Their labels are overwritten, but those of test parts that clients are evaluated on
    (``data.client_test``). The server's test set is that of these clients' groups, where it has
    such groups: what the model reaches is what it reaches on the target.

    Args:
        named: The clients, by name or number.
        federation: The federation, with all labels.

    Raises:
        FedlabError: If a client is not there, none with labels is left, or the examples are made
            or kept where their labels cannot be overwritten.
    """
    if not named:
        return federation
    clients = clients_named(federation.partition, named, KEY)
    dataset = federation.dataset
    if len(clients) == len(federation) and not federation.root_examples:
        raise FedlabError(f"{KEY}: no client with labels is left; name fewer")
    if isinstance(dataset.train, GeneratedExamples | AbsentExamples):
        raise FedlabError(
            f"{KEY}: the labels of this data set are made client by client or stay at its sites; "
            "take a data set that is stored here"
        )
    if federation.unseen is not None:
        raise FedlabError(
            f"{KEY}: with clients that never train (evaluation.unseen_clients) clients are "
            "numbered anew; use one of the two keys"
        )
    if not federation.partition.is_disjoint:
        raise FedlabError(f"{KEY}: clients share examples, and so labels; take another partitioner")
    federation = replace(federation, unlabelled=frozenset(clients))
    targets = dataset.train.targets.clone()
    for client in clients:
        rows, _ = federation.rows(client)
        targets[torch.from_numpy(rows)] = _no_label(dataset.task)
    dataset = replace(dataset, train=dataset.train.with_targets(targets))
    return _tested_on(replace(federation, dataset=dataset), clients)


def _no_label(task: Task) -> float | int:
    """Return what stands for a label that is not known; no loss or metric counts it."""
    return float("nan") if task.kind == "regression" else task.padding


def _tested_on(federation: Federation, clients: Sequence[int]) -> Federation:
    """Return the federation with the test examples of these clients' groups alone, if any are."""
    dataset, drift = federation.dataset, federation.drift
    groups, held = dataset.test.groups, dataset.train.groups
    names = dataset.test.group_names
    if groups is None or held is None or dataset.train.group_names != names:
        note = (
            f"{KEY}: the test set is not known by client, so that the whole of it is tested on; "
            "data.client_test sets part of each client's own examples apart"
        )
        return replace(federation, dataset=replace(dataset, notes=(*dataset.notes, note)))
    own = np.unique(np.concatenate([held[federation.rows(client)[0]] for client in clients]))
    rows = np.flatnonzero(np.isin(groups, own))
    tested = replace(dataset, test=dataset.test.take(rows))
    return replace(federation, dataset=tested, drift=drift and drift.tested_on(rows))
