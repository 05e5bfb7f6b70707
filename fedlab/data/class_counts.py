"""How many training examples each class has, as a sum over clients."""

from __future__ import annotations

from dataclasses import replace

import torch

from fedlab.data.dataset import Dataset
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError


def with_class_counts(dataset: Dataset) -> Dataset:
    """Return the data set with its task's ``class_counts``.

    Raises:
        FedlabError: If its task has no classes, or its examples are made client by client.
    """
    task = dataset.task
    if task.kind != "classification" or isinstance(dataset.train, GeneratedExamples):
        reason = (
            f"this data set's task is {task.kind}"
            if task.kind != "classification"
            else "the examples of this data set are made client by client"
        )
        raise FedlabError(
            f"client.class_weights: 'balanced' counts the examples of each class, and {reason}; "
            "set it to 'none'"
        )
    counts = torch.bincount(dataset.train.targets, minlength=task.classes)
    return replace(dataset, task=replace(task, class_counts=tuple(counts.tolist())))
