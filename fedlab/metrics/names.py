"""What each metric is called, which way is better, and how its values are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fedlab.errors import one_line
from fedlab.metrics.quantities import NBSP

TOO_LONG = 1e12
"""From here on a number is written with an exponent."""


@dataclass(frozen=True)
class MetricName:
    """A metric as people read it.

    Attributes:
        name: Its key in the run folder's files.
        label: Its name in words.
        higher_is_better: Which way is better.
        is_fraction: Whether it lies in [0, 1] and is written in per cent.
    """

    name: str
    label: str
    higher_is_better: bool
    is_fraction: bool = False

    def text(self, value: float) -> str:
        """Return a value of this metric as text, with its unit."""
        if not math.isfinite(value):
            return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
        return f"{100 * value:.1f}{NBSP}%" if self.is_fraction else _number(value, 4)

    def difference(self, value: float) -> str:
        """Return the size of a difference between two values as text, without its sign."""
        return f"{abs(100 * value):.1f}{NBSP}points" if self.is_fraction else _number(abs(value), 3)

    def better(self, first: float, second: float) -> bool:
        """Return whether ``first`` is better than ``second``; a number beats what is none."""
        if math.isnan(first) or math.isnan(second):
            return math.isnan(second) and not math.isnan(first)
        return first > second if self.higher_is_better else first < second


def _number(value: float, digits: int) -> str:
    """Return a number with so many digits, and a large one as people write it: 21,330."""
    rounded = float(f"{value:.{digits - 1}e}")
    is_long = 10 ** (digits - 1) <= abs(rounded) < TOO_LONG
    return f"{rounded:,.0f}" if is_long else f"{value:.{digits}g}"


# The first of these that a run has is the one it is judged by.
METRICS = (
    MetricName("accuracy", "accuracy", True, True),
    MetricName("probe_accuracy", "accuracy of a linear probe", True, True),
    MetricName("knn_accuracy", "accuracy of nearest neighbours", True, True),
    MetricName("perplexity", "perplexity", False),
    MetricName("rmse", "root mean squared error", False),
    MetricName("auroc", "AUROC", True, True),
    MetricName("balanced_accuracy", "balanced accuracy", True, True),
    MetricName("auprc", "AUPRC", True, True),
    MetricName("macro_f1", "macro F1", True, True),
    MetricName("mae", "mean absolute error", False),
    MetricName("r2", "R²", True),
    MetricName("brier", "Brier score", False),
    MetricName("loss", "loss", False),
    MetricName("spread", "spread of projections", True),
    MetricName("calibration_error", "calibration error", False, True),
    MetricName("attack_success", "backdoor success", False, True),
)
REPEATED_STEPS = "repeated_steps"
"""How many steps' gradients were computed again, since they were not finite in float16."""
NOT_METRICS = {"seconds", "steps", "cluster", REPEATED_STEPS}
"""Numbers that clients report beside their metrics."""
_BY_NAME = {metric.name: metric for metric in METRICS}
GLOBAL = "global_"
"""Begins the names of what the global model reaches where clients have personalised ones."""
BEFORE = "before_"
"""Begins the names of what clients' own models reached before any collaboration."""
VALIDATION = "validation_"
"""Begins the names of what clients reach on their validation parts where they have test parts."""
_PREFIXES = {
    GLOBAL: "of the global model",
    BEFORE: "before collaboration",
    VALIDATION: "on validation parts",
}


_AFTER = re.compile(r"after_(\d+)_(.+)")


def after_steps(steps: int, name: str) -> str:
    """Return the name of what a model reaches after so many steps on a new client's examples."""
    return f"after_{steps}_{name}"


def steps_text(steps: int | str) -> str:
    """Return "1 step" or "5 steps"."""
    return f"{steps} step{'' if str(steps) == '1' else 's'}"


def by_steps(metrics: Mapping[str, float]) -> dict[int, dict[str, float]]:
    """Return metrics under names of :func:`after_steps` by the number of steps, then by name."""
    found: dict[int, dict[str, float]] = {}
    for name, value in metrics.items():
        if match := _AFTER.fullmatch(name):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return found


def metric_name(name: str) -> MetricName:
    """Return what is known of a metric; one that a client made up counts as a cost."""
    for prefix, meaning in _PREFIXES.items():
        if name.startswith(prefix):
            of = metric_name(name.removeprefix(prefix))
            return replace(of, name=name, label=f"{of.label} {meaning}")
    if match := _AFTER.fullmatch(name):
        of = metric_name(match[2])
        return replace(of, name=name, label=f"{of.label} after {steps_text(match[1])}")
    return _BY_NAME.get(name) or MetricName(name, one_line(name.replace("_", " "), 60), False)


def headline(names: Iterable[str]) -> MetricName | None:
    """Return the metric that a run with these metrics is judged by, or None without metrics."""
    present = list(names)
    known = next((metric for metric in METRICS if metric.name in present), None)
    return known or (metric_name(present[0]) if present else None)
