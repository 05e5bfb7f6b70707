"""Evaluation of a trained network on its own test set or on other labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedlab import registry
from fedlab.metrics.evaluation import Evaluation
from fedlab.scenario.parts import load_dataset
from fedlab.training.evaluation import evaluate
from fedlab.use.labelled import read_labelled
from fedlab.use.loading import Trained


def evaluate_trained(trained: Trained, data: Path | None = None) -> Evaluation:
    """Return the metrics' sums of the network on labelled data.

    Args:
        trained: The network.
        data: The path of the data (see :func:`fedlab.use.labelled.read_labelled`); None for the
            test set of the run's own data set, which reproduces the figures of the run's summary.

    Raises:
        FedlabError: If the data cannot be read or do not fit the network.
    """
    test = (
        load_dataset(trained.scenario).test if data is None else read_labelled(trained.task, data)
    )
    client = trained.scenario.client
    algorithm: Any = registry.clients.get(client.name)(client)
    criterion = algorithm.criterion(trained.task)
    return evaluate(trained.network, test, trained.task, trained.prepare, criterion)
