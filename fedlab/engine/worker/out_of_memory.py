"""What a client is told whose batches do not fit into its device's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.errors import FedlabError
from fedlab.training.loop import Steps, gradient, step
from fedlab.training.optimizer import build_optimizer
from fedlab.training.task import LocalTask
from fedlab.training.terms import Objective

VECTORS_BESIDE = 4
"""Vectors of a model's size kept free for each worker: its model's, and an algorithm's own."""


@contextmanager
def fitting_model(device: torch.device) -> Iterator[None]:
    """Refuse a model that does not fit into a device's memory.

    Raises:
        FedlabError: If it does not.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FedlabError(
            f"engine.device: the model and its gradient do not fit into the memory of '{device}'; "
            "take a smaller model, fewer workers on it, or device = 'cpu'"
        ) from error


def does_not_fit(algorithm: ClientAlgorithm, task: LocalTask) -> FedlabError:
    """Return an error that names the largest batch, or piece of one, that would fit, by trying.

    The error of the failed batch must be gone when this is called: its frames hold on to what
    filled the memory.

    Args:
        algorithm: The client's algorithm.
        task: The task, whose weights may change here.
    """
    size = min(int(algorithm.settings.batch_size), len(task.examples))
    key, what = "client.batch_size", "batch"
    if task.cuts(size):
        assert task.micro_batch is not None
        key, what, size = "engine.micro_batch", "piece", task.micro_batch
    fitting = _first_that_fits(task, size // 2, lambda n: _take_gradient(algorithm, task, n))
    plural = {"batch": "batches", "piece": "pieces"}[what]
    told = (
        f"{plural} of {fitting} fit; set {key} = {fitting}"
        if fitting
        else f"nor does a {what} of one; take a smaller model, or device = 'cpu'"
    )
    if fitting and what == "batch":
        told += f", or engine.micro_batch = {fitting} for steps over {size} examples as before"
    return FedlabError(
        f"{key}: a {what} of {size} does not fit into the memory of '{task.device}', "
        f"beside the model and the data; {told}"
    )


def does_not_fit_stacked(clients: int, device: torch.device) -> str:
    """Return what is said of clients that are trained one by one, as a stack of them did not fit.

    Args:
        clients: How many.
        device: Where.
    """
    fewer = f"engine.vectorised = {clients // 2}" if clients > 1 else "engine.vectorised = false"
    return (
        f"engine.vectorised: {clients} clients at once do not fit into the memory of '{device}'; "
        "they are trained one after the other, more slowly and with other last bits of the "
        f"results; set {fewer}"
    )


def largest_batch(algorithm: ClientAlgorithm, task: LocalTask, most: int, sharing: int) -> int:
    """Return the largest power of two of examples, up to ``most``, of which a step fits.

    Args:
        algorithm: The client's algorithm; terms of its own are left out.
        task: The task, whose weights may change here.
        most: How many examples at most.
        sharing: How many workers share the device, each with a model and a batch of its own.

    Raises:
        FedlabError: If not even a batch of two fits.
    """
    size = 1 << (most.bit_length() - 1)
    fitting = _first_that_fits(task, size, lambda n: _take_step(algorithm, task, n, sharing))
    if fitting > 1:
        return fitting
    raise FedlabError(
        f"client.batch_size: not even a batch of 2 fits into the memory of '{task.device}', beside "
        "the model and the data; take a smaller model, fewer workers on it, or device = 'cpu'"
    )


def _first_that_fits(task: LocalTask, size: int, try_size: Callable[[int], None]) -> int:
    """Return the first of size, size/2, … 1 whose trial does not run out of memory; 0 if none."""
    while size:
        _give_back(task.device)
        try:
            try_size(size)
            return size
        except torch.OutOfMemoryError:
            size //= 2
        finally:
            task.network.model.bind_gradient()
    return 0


def _take_step(algorithm: ClientAlgorithm, task: LocalTask, size: int, sharing: int) -> None:
    """Take a step of as many examples as all workers take at once."""
    model, settings = task.network.model, algorithm.settings
    # The other workers' models, and vectors that an algorithm may keep beside its own.
    spare = torch.empty(VECTORS_BESIDE * sharing, model.weights.numel(), device=task.device)
    whole, own = task.examples.located()
    rows = own[torch.arange(size * sharing, device=own.device) % len(own)]
    inputs, targets = task.draw(task.prepare(whole.inputs_at(rows)), whole.targets_at(rows))
    optimizer = build_optimizer(settings.optimizer, [model.parameter])
    steps = Steps(optimizer, size * sharing, clip_norm=1.0)
    step(task, Objective(algorithm.criterion(task.task)), steps, inputs, targets)
    del spare


def _take_gradient(algorithm: ClientAlgorithm, task: LocalTask, size: int) -> None:
    """Compute the gradient of a client's first examples."""
    stored, wanted = task.examples.inputs_at(slice(0, size)), task.examples.targets[:size]
    inputs, targets = task.draw(task.prepare(stored), wanted)
    gradient(task, algorithm.objective(task), None, inputs, targets)


def _give_back(device: torch.device) -> None:
    """Give cached memory back to the device, in one piece for what is tried next."""
    module: Any = torch.get_device_module(device)
    if hasattr(module, "empty_cache"):
        module.empty_cache()
