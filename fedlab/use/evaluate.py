"""Evaluation of a trained network on its own test set or on other labelled data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedlab import registry
from fedlab.data.dataset import Examples
from fedlab.data.federation import some_of
from fedlab.metrics.evaluation import Evaluation
from fedlab.run.same_data import check_task, differs_in_test
from fedlab.scenario.parts import load_dataset, task_of
from fedlab.training.evaluation import evaluate
from fedlab.use.labelled import read_labelled
from fedlab.use.loading import Trained


def evaluate_trained(
    trained: Trained, data: Path | None = None, tell: Callable[[str], object] = lambda note: None
) -> Evaluation:
    """Return the metrics' sums of the network on labelled data.

    Args:
        trained: The network.
        data: The path of the data (see :func:`fedlab.use.labelled.read_labelled`); None for the
            test set of the run's own data set, which reproduces the figures of the run's summary.
        tell: Is given what the user should know of the data, a sentence each.

    Raises:
        FedlabError: If the data cannot be read, or their task is not the one that was learned.
    """
    test = _own_test(trained, tell) if data is None else read_labelled(trained.task, data)
    client = trained.scenario.client
    algorithm: Any = registry.clients.get(client.name)(client)
    criterion = algorithm.criterion(trained.task)
    return evaluate(trained.network, test, trained.task, trained.prepare, criterion)


def _own_test(trained: Trained, tell: Callable[[str], object]) -> Examples:
    """Return the test set of the run's data set, of which the scenario may use a part.

    Its task has to be the one that was learned; its examples may be others, which is told.
    """
    scenario = trained.scenario
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
