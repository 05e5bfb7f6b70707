"""How far local steps carry a client: ‖a‖₁ of FedNova (Wang et al. 2020, NeurIPS, section 4).

Descent that is linear in its gradients moves the weights by −η Σₖ aₖ gₖ. The weights aₖ depend on
the optimiser alone: all 1 for plain steps, larger for earlier gradients under momentum, smaller
under a proximal term, which pulls back what earlier gradients moved.
"""

from __future__ import annotations

from fedlab.training.early_stopping import EarlyStoppingSettings
from fedlab.training.optimizer import OptimizerSettings, ScheduleSettings


def accumulated_steps(
    optimizer: OptimizerSettings, steps: int, rate: float, proximal: float = 0.0
) -> float:
    """Return Σₖ aₖ: the distance covered under a constant gradient of 1, in learning rates.

    Args:
        optimizer: SGD, plain or with momentum.
        steps: How many local steps are taken.
        rate: The learning rate η.
        proximal: µ of the term µ/2 ‖w − x‖².
    """
    distance = buffer = 0.0
    for _ in range(steps):
        gradient = 1.0 - proximal * rate * distance
        buffer = optimizer.momentum * buffer + gradient
        distance += gradient + optimizer.momentum * buffer if optimizer.nesterov else buffer
    return distance


def check_linear(
    optimizer: OptimizerSettings,
    schedule: ScheduleSettings,
    clip_norm: float | None,
    early_stopping: EarlyStoppingSettings | None,
) -> None:
    """Check that local steps can be accounted for by :func:`accumulated_steps`.

    Raises:
        ValueError: If they are not linear in their gradients, or their rate changes on the way.
    """
    problem = None
    if optimizer.name != "sgd":
        problem = f"optimizer.name = '{optimizer.name}'; take 'sgd'"
    elif optimizer.weight_decay:
        problem = "optimizer.weight_decay; l2 does the like inside the objective"
    elif clip_norm is not None:
        problem = "clip_norm; leave it out"
    elif optimizer.layer_decay < 1:
        problem = "optimizer.layer_decay, a rate for each stage; leave it at 1"
    elif schedule.changes_within_rounds:
        problem = f"schedule.over = '{schedule.over}'; take 'rounds'"
    elif early_stopping is not None:
        problem = "early_stopping; leave it out"
    if problem is not None:
        raise ValueError(f"how far local steps carry cannot be told with {problem}")
