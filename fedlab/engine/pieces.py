"""Batches that are computed in pieces, one after the other: ``engine.micro_batch``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedlab.algorithm.setup import Setup
from fedlab.errors import FedlabError
from fedlab.models.selection import BatchNorm
from fedlab.training.draw import build_draw


def micro_batch(engine: Any) -> int | None:
    """Return how many examples of a batch are computed at once, or None for all of them.

    Args:
        engine: Keys of ``[engine]``.
    """
    found: int | None = getattr(engine, "micro_batch", None)
    return found


def cuts_batches(scenario: Any) -> bool:
    """Return whether clients compute their batches in pieces.

    Args:
        scenario: The scenario.
    """
    most = micro_batch(scenario.engine)
    return most is not None and most < scenario.client.batch_size


def objections(setup: Setup) -> Iterator[str]:
    """Yield why the gradients of pieces would not add up to a batch's.

    Args:
        setup: All parts of the run.
    """
    scenario, network, algorithm = setup.scenario, setup.network, setup.algorithm
    if micro_batch(scenario.engine) is None:
        return
    out = "leave the key out"
    trained = [m for m in network.model.module.modules() if isinstance(m, BatchNorm)]
    if any(module not in network.frozen for module in trained):
        yield (
            "engine.micro_batch: batch norm would normalise pieces in place of batches; set "
            f"model.batch_norm = 'frozen', or {out}"
        )
    if getattr(algorithm, "couples_examples", False):
        yield (
            f"engine.micro_batch: client '{scenario.client.name}' has a term that is no mean over "
            f"the examples of a batch, which cannot be computed in pieces; {out}"
        )
    draw = build_draw(setup.task)
    if draw.views > 1 or _couples_examples(algorithm, setup):
        yield (
            "engine.micro_batch: the task loss compares the examples of a batch with one another, "
            f"which cannot be computed in pieces; {out}"
        )


def notes(setup: Setup) -> Iterator[str]:
    """Yield that no batch is cut, where none is.

    Args:
        setup: All parts of the run.
    """
    most, size = micro_batch(setup.scenario.engine), setup.scenario.client.batch_size
    if most is not None and not cuts_batches(setup.scenario):
        yield f"engine.micro_batch = {most} cuts no batch: client.batch_size is {size}"


def _couples_examples(algorithm: Any, setup: Setup) -> bool:
    try:
        return bool(getattr(algorithm.criterion(setup.task), "couples_examples", False))
    except FedlabError:
        return False  # the algorithm objects to it by itself
