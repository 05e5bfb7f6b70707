"""Evaluation of a trained network on its own test set or on other labelled data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from fedlab import registry
from fedlab.data.dataset import Examples
from fedlab.data.federation import some_of
from fedlab.data.on_device import placed
from fedlab.data.unreadable import settle
from fedlab.errors import FedlabError
from fedlab.metrics.evaluation import Evaluation
from fedlab.metrics.sites import SiteMetrics, measured_sites, reported_groups
from fedlab.run.same_data import check_task, differs_in_test
from fedlab.scenario.parts import load_dataset, task_of
from fedlab.scenario.site_data import is_of_sites, test_of
from fedlab.training.evaluation import evaluate
from fedlab.use.inputs import DATA, in_batches, reader_of, stacked
from fedlab.use.loading import Trained

AT_ONCE = 1024
"""Examples that are in memory at once; a multiple of what the network takes at a time."""


def evaluate_trained(
    trained: Trained, data: Path | None = None, tell: Callable[[str], object] = lambda note: None
) -> Evaluation:
    """Return the metrics' sums of the network on labelled data; see :func:`evaluate_by_site`."""
    return evaluate_by_site(trained, data, tell)[0]


def evaluate_by_site(
    trained: Trained, data: Path | None = None, tell: Callable[[str], object] = lambda note: None
) -> tuple[Evaluation, SiteMetrics]:
    """Return the metrics' sums of the network on labelled data, and each site's metrics.

    Args:
        trained: The network.
        data: The path of the data, as the reader of the run's kind of data takes it (see
            ``fedlab/use/readers``); None for the test set of the run's own data set, which
            reproduces the figures of the run's summary.
        tell: Is given what the user should know of the data, a sentence each.

    Raises:
        FedlabError: If the data cannot be read, or their task is not the one that was learned.
    """
    client = trained.phase.client
    algorithm: Any = registry.clients.get(client.name)(client)
    criterion = algorithm.criterion(trained.task)
    evaluation, of_sites = Evaluation(trained.task), SiteMetrics()
    parts = [_own_test(trained, tell)] if data is None else read_labelled(trained, data)
    for examples in parts:
        groups = reported_groups(examples)
        seen = placed(examples, trained.device)
        with trained.computing():
            part = evaluate(
                trained.network, seen, trained.task, trained.prepare, criterion, sites=groups
            )
        evaluation.merge(part.state())
        of_sites |= measured_sites(part, examples).get("sites", {})
    return evaluation, of_sites


def read_labelled(trained: Trained, path: Path) -> Iterator[Examples]:
    """Yield the examples at ``path``, some at a time.

    Raises:
        FedlabError: If they have no labels or name an unknown class; once all are read, if any of
            them cannot be: the first, and how many.
    """
    reader = reader_of(trained.task, trained.scenario.data)
    faults, total = [], 0
    for batch in in_batches(reader.labelled(path), AT_ONCE):
        total += len(batch)
        faults += [item.fault for item in batch if item.stored is None]
        if not faults:
            targets = [item.target for item in batch if item.target is not None]
            yield Examples(stacked(batch), torch.stack(targets))
    settle(faults, total, DATA, "refuse", "inputs")


def _own_test(trained: Trained, tell: Callable[[str], object]) -> Examples:
    """Return the test set of the run's data set, of which the scenario may use a part.

    Its task has to be the one that was learned; its examples may be others, which is told.
    """
    scenario = trained.scenario
    if is_of_sites(scenario):
        return _servers_test(trained)
    dataset = load_dataset(scenario)
    check_task(trained.folder, task_of(scenario, dataset.task))
    limit = scenario.evaluation.test_examples
    test = some_of(dataset.test, limit, scenario.seed, "test examples")
    for note in dataset.notes:
        tell(note)
    if differs_in_test(trained.folder, test):
        tell(
            "the data set's test examples are not those that the run was tested on; some may be "
            "among those that it was trained on, where the data set draws its test part itself"
        )
    return test


def _servers_test(trained: Trained) -> Examples:
    """Return the server's own test data, of a run whose sites keep theirs.

    Raises:
        FedlabError: If the run has none.
    """
    if trained.scenario.data.test is None:
        raise FedlabError(
            "the run's data are at its sites, and the server has no test data (data.test); name "
            "labelled data with --data"
        )
    return test_of(trained.scenario, trained.task)
