"""The kinds of task that fedlab knows, and what each counts as: the one table of both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conventions:
    """What a task counts as: names in the registries of criteria, metrics and draws.

    Attributes:
        criterion: The task loss where the scenario asks for none (``fedlab.training.criteria``).
        metrics: What it is evaluated by (``fedlab.metrics.kinds``).
        draw: How a batch is made from inputs and targets (``fedlab.training.draws``).
    """

    criterion: str
    metrics: str
    draw: str = "labelled"


KINDS = {
    "classification": Conventions("cross-entropy", "classification"),
    "next-token": Conventions("cross-entropy", "tokens"),
    "tagging": Conventions("cross-entropy", "tagging"),
    "sequence-to-sequence": Conventions("cross-entropy", "tokens"),
    "regression": Conventions("sum-of-squares", "regression"),
    "reconstruction": Conventions("mean-squared-error", "reconstruction", "reconstruction"),
    "masked-patches": Conventions("masked-patches", "masked-patches", "masked-patches"),
    "self-supervised": Conventions("agreement", "views", "two-views"),
}

ONE_SCORE = Conventions("binary", "classification")
"""A classification whose two classes the sign of one score separates."""
