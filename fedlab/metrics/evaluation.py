"""Evaluation by the task's metrics, as sums that several workers can add up.

The sums are plain counts, so this room needs torch alone: torchmetrics would add two seconds and a
hundred megabytes to every worker (it imports SciPy, torchvision and torch's compiler). Tests hold
every metric against torchmetrics and scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError, unknown
from fedlab.metrics.contract import MetricSet
from fedlab.metrics.names import BEFORE, GLOBAL, VALIDATION
from fedlab.registry import metrics

_OF_SITE = "/"
"""Stands between a site's number and the name of a sum."""
PREFIXES = (GLOBAL, BEFORE, VALIDATION)
"""Begin the names of metrics of other models, or on other examples."""


class Evaluation:
    """The metrics of one model on one set of examples, batch by batch, shard by shard.

    What is kept are sums in double precision, so the result does not depend on how examples were
    cut into batches. Two workers' parts are joined with :meth:`merge`; the sums are floating-point,
    so join them in a fixed order.

    Beside the whole, sites may be counted: parts of the examples by whose they are.

    Args:
        task: What is learned; positions whose target is ``task.padding`` are not counted.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._sites: dict[int, Evaluation] = {}
        self._noted: dict[str, float] = {}
        self._metrics: MetricSet = metrics.get(task.conventions.metrics)(task)
        self._further = {name: found(task) for name, found in _further(task).items()}
        sizes = {"loss": 2, **self._metrics.sizes(), "success": 2}
        for prefix, further in self._further.items():
            sizes |= {f"{prefix}.{name}": size for name, size in further.sizes().items()}
        self._sums = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}

    @torch.no_grad()
    def update(self, outputs: Tensor, targets: Tensor, loss_sum: float, count: int) -> None:
        """Count a batch.

        Args:
            outputs: On the CPU, (N, K) or (N, T, K): scores before the softmax, or predicted
                numbers. A single score per example (K = 1, classification) stands for class 1
                against class 0.
            targets: (N,) or (N, T) classes; (N, K) numbers for regression.
            loss_sum: The task loss, summed over what it is a mean of.
            count: How many terms that sum has.
        """
        self._add("loss", torch.tensor([loss_sum, count]))
        for name, value in self._metrics.count(outputs.detach(), targets).items():
            self._add(name, value)
        for prefix, further in self._further.items():
            for name, value in further.count(outputs.detach(), targets).items():
                self._add(f"{prefix}.{name}", value)

    def note(self, values: Mapping[str, float]) -> None:
        """Report what was measured of the same model by other means, by name."""
        self._noted |= values

    def count_success(self, hits: Tensor) -> None:
        """Count (N,) inputs with a trigger, true where they got the class that it stands for."""
        self._add("success", torch.tensor([hits.sum(), len(hits)]))

    def compute(self) -> dict[str, float]:
        """Return the metrics by name, the loss first; nothing if nothing was counted.

        One that the examples do not define, as AUROC of a single class, is left out.
        """
        loss, count = self._sums["loss"].tolist()
        if not count:
            return {}
        found = self._metrics.compute(self._sums)
        for prefix, further in self._further.items():
            own = {name: self._sums[f"{prefix}.{name}"] for name in further.sizes()}
            found |= further.compute(own)
        if self._task.reported:
            found = {name: found[name] for name in self._task.reported if name in found}
        hits, triggered = self._sums["success"].tolist()
        success = {"attack_success": hits / triggered} if triggered else {}
        return {"loss": loss / count, **found, **success, **self._noted}

    def site(self, number: int) -> Evaluation:
        """Return the evaluation of one site's examples."""
        if number not in self._sites:
            self._sites[number] = Evaluation(self._task)
        return self._sites[number]

    def compute_sites(self) -> dict[int, dict[str, float]]:
        """Return the metrics of each site that was counted, by its number."""
        return {number: site.compute() for number, site in sorted(self._sites.items())}

    def confusion(self) -> Tensor:
        """Return the (K, K) counts, rows true class, columns predicted class.

        Raises:
            ValueError: If the task's metrics have none.
        """
        if not self._metrics.has_confusion:
            raise ValueError(f"a {self._task.kind} task has no confusion matrix")
        counts = self._sums["confusion"].long()
        return counts.view(self._task.classes, self._task.classes)

    def state(self) -> dict[str, Tensor]:
        """Return the sums by name; they travel to another process."""
        of_sites = {
            f"{number}{_OF_SITE}{name}": value
            for number, site in self._sites.items()
            for name, value in site.state().items()
        }
        return {**self._sums, **of_sites}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add what :meth:`state` returned elsewhere, for the same task."""
        for name, value in state.items():
            number, of_site, rest = name.partition(_OF_SITE)
            if of_site:
                self.site(int(number))._add(rest, value)
            else:
                self._add(name, value)

    def _add(self, name: str, value: Tensor) -> None:
        # Not in place: what state() returned must not change.
        prefix, _, own = name.rpartition(".")
        further = self._further.get(prefix)
        present = self._sums[name]
        self._sums[name] = (
            present + value if further is None else further.joined(own, present, value)
        )


def names_of(task: Task) -> list[str]:
    """Return the names of the metrics that :meth:`Evaluation.compute` returns for a task."""
    found: type[MetricSet] = metrics.get(task.conventions.metrics)
    return ["loss", *(task.reported or found.names)]


def undefined_metrics(task: Task, found: Mapping[str, float]) -> dict[str, float]:
    """Return NaN for each metric that a client's examples did not define.

    All clients' replies have to have one form; whoever reads them passes over these.

    Args:
        task: What is learned.
        found: What the client measured, of its model and perhaps of others (``PREFIXES``).
    """
    present = [p for p in ("", *PREFIXES) if not p or any(name.startswith(p) for name in found)]
    names = [f"{prefix}{name}" for prefix in present for name in task.reported]
    return {name: math.nan for name in names if name not in found}


def known_for(task: Task) -> list[str]:
    """Return the names of all metrics that may be reported of a task, its own first."""
    own: type[MetricSet] = metrics.get(task.conventions.metrics)
    sets: list[type[MetricSet]] = [metrics.get(name) for name in metrics.names()]
    further = [name for found in sets if task.kind in found.kinds for name in found.names]
    return list(dict.fromkeys([*own.names, *further]))


def reporting(task: Task, names: Sequence[str]) -> Task:
    """Return the task with these metrics reported, beside the loss, in this order.

    Raises:
        FedlabError: If there is no such metric for a task of this kind.
    """
    known = known_for(task)
    for name in names:
        if name not in known:
            sentence = unknown("metric", name, known)
            raise FedlabError(f"evaluation.metrics: {sentence} (the task is {task.kind})")
    return replace(task, reported=tuple(dict.fromkeys(names)))


def _further(task: Task) -> dict[str, type[MetricSet]]:
    """Return the sets of metrics that a task reports from, beside its own, by name."""
    own: type[MetricSet] = metrics.get(task.conventions.metrics)
    wanted = set(task.reported) - set(own.names)
    if not wanted:
        return {}
    sets: dict[str, type[MetricSet]] = {name: metrics.get(name) for name in metrics.names()}
    return {
        name: found
        for name, found in sets.items()
        if task.kind in found.kinds and wanted.intersection(found.names)
    }
