"""Public examples: those that the server and every client may look at, and that no client owns.

Distillation is on them. They are drawn from the training examples before these are split over
clients, or are another data set's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from fedlab import registry, seeding
from fedlab.data.dataset import Dataset, Examples, Task
from fedlab.data.loaded import load_checked
from fedlab.data.virtual import GeneratedExamples
from fedlab.errors import FedlabError
from fedlab.settings import Settings


class PublicSettings(Settings):
    """Keys of ``[data.public]``; with a ``name``, those of that data set go here as well."""

    name: str | None = Field(
        None,
        description="another data set, whose inputs are of the same shape; left out: the clients' "
        "own, drawn before it is split, so that no client has them and nothing is tested on them",
    )
    examples: int = Field(ge=2, description="how many of its training examples, drawn once")


def draw_public(settings: Any, dataset: Dataset, seed: int) -> tuple[Examples | None, Dataset]:
    """Return the public examples, and the data set without them.

    Args:
        settings: Keys of ``[data]``.
        dataset: What clients and the test set are drawn from.
        seed: Decides which examples are drawn.

    Raises:
        FedlabError: If there are too few, or another data set's inputs are of another kind.
    """
    public = settings.public
    if public is None:
        return None, dataset
    if public.name is not None:
        examples, notes = _of_another(public, settings.name, dataset.task, seed)
        return examples, replace(dataset, notes=(*dataset.notes, *notes))
    if isinstance(dataset.train, GeneratedExamples):
        raise FedlabError(
            f"data.public: '{settings.name}' makes examples client by client, and has none for "
            "everybody; data.public.name takes another data set's"
        )
    size = len(dataset.train)
    if public.examples >= size:
        raise FedlabError(
            f"data.public.examples: of {size} training examples, {public.examples} cannot be "
            "public and leave clients some"
        )
    chosen, rest = _drawn(size, public.examples, seed)
    return dataset.train.take(chosen), replace(dataset, train=dataset.train.take(rest))


def _of_another(settings: Any, own: str, task: Task, seed: int) -> tuple[Examples, tuple[str, ...]]:
    """Return some of another data set's training examples, and its notes."""
    name = settings.name
    if name == own:
        raise FedlabError(
            f"data.public.name: '{name}' is what clients hold; leave the key out, and examples are "
            "drawn before it is split"
        )
    source = registry.datasets.get(name)
    other = load_checked(name, lambda: source(settings).load(seed))
    kinds = [_kind(task), _kind(other.task)]
    if kinds[0] != kinds[1]:
        raise FedlabError(
            f"data.public.name: '{name}' has {kinds[1]}, and the clients' '{own}' {kinds[0]}"
        )
    if task.encoding != other.task.encoding:
        raise FedlabError(
            f"data.public.name: the inputs of '{name}' are encoded by other tokens or scales than "
            f"those of the clients' '{own}'"
        )
    if isinstance(other.train, GeneratedExamples) or settings.examples > len(other.train):
        raise FedlabError(
            f"data.public.examples: '{name}' does not have {settings.examples} training examples "
            "to draw from"
        )
    return other.train.take(_drawn(len(other.train), settings.examples, seed)[0]), other.notes


def _kind(task: Task) -> str:
    return f"{task.modality} inputs of shape {'×'.join(map(str, task.input_shape))}"


def _drawn(size: int, count: int, seed: int) -> tuple[Any, Any]:
    """Return ``count`` row numbers out of ``size``, and the others, both ascending."""
    order = seeding.numpy_generator(seed, "public data").permutation(size)
    return np.sort(order[:count]), np.sort(order[count:])
