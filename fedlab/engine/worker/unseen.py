"""Evaluating a client that never trains: after steps on its own examples, on its test part."""

from __future__ import annotations

from collections.abc import Callable

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.data.federation import Federation
from fedlab.data.unseen import support_of
from fedlab.data.unseen_settings import UnseenSettings
from fedlab.metrics.evaluation import undefined_metrics
from fedlab.metrics.names import after_steps
from fedlab.training.task import LocalTask


def is_unseen(federation: Federation, client: int) -> bool:
    """Return whether a client never trains."""
    return client in federation.unseen_clients


def metrics_after_steps(
    algorithm: ClientAlgorithm,
    settings: UnseenSettings,
    federation: Federation,
    begun: Callable[[], LocalTask],
) -> dict[str, float]:
    """Return the metrics on a client's test part, for each number of steps.

    Each begins anew from the received weights and with the same draws, so that a number of steps
    has the same outcome whichever others are asked for.

    Args:
        algorithm: The client algorithm.
        settings: After how many steps, on how many examples, at which rate.
        federation: The data.
        begun: Returns the client's task, its network reset to the received weights.
    """
    found: dict[str, float] = {}
    for steps in settings.unseen_steps:
        task = begun()
        task.examples = support_of(
            task.examples, task.task, settings.unseen_shots, federation.seed, task.client
        )
        algorithm.adapt(task, steps, settings.unseen_rate)
        metrics = algorithm.measured(task)
        metrics |= undefined_metrics(task.task, metrics)
        found |= {after_steps(steps, name): value for name, value in metrics.items()}
    return found
