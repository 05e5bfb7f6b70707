"""Metrics of how well scores rank examples: areas under the ROC and precision-recall curves."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlab.metrics.contract import MetricSet, Sums
from fedlab.metrics.scores import counted
from fedlab.registry import metrics

EXACT = 1_000_000
"""Scores, an example's for each class, that are kept as they are."""
STEPS = 4096
"""Beyond that, log-odds are rounded to this fraction of 1, and equal ones are counted."""
MOST = 32.0
"""Log-odds are cut off there when they are rounded: a probability of 1 − 10⁻¹⁴."""
_COLUMNS = 4


@metrics.register("ranking")
class Ranking(MetricSet):
    """AUROC and AUPRC (average precision): of class 1 for two classes, else means over classes.

    A class counts against all others, where there are examples of it and others; without any such
    class there is neither metric. Both are exact, ties counting half in AUROC, for up to ``EXACT``
    scores. Of more, log-odds are rounded, so that memory is bounded: two scores that differ by less
    than 1/``STEPS`` become a tie. Whether scores are rounded depends on how many there are in all,
    not on how they were cut into shards.

    Sources: Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006);
    average precision as in scikit-learn: Σ (Rₙ − Rₙ₋₁) Pₙ over descending scores.
    """

    names: ClassVar[tuple[str, ...]] = ("auroc", "auprc")
    kinds: ClassVar[tuple[str, ...]] = ("classification",)

    def sizes(self) -> dict[str, int]:
        """Return that nothing is kept at the beginning; it grows with the examples."""
        return {"scores": 0}

    def count(self, outputs: Tensor, targets: Tensor) -> Sums:
        """Return rows (class, log-odds, whether it is of the class, how many), flattened."""
        scores, classes = counted(outputs, targets, self.task.padding)
        if not len(classes):
            return {}
        rows = [
            torch.stack(
                [
                    torch.full_like(odds, number),
                    odds,
                    (classes == number).double(),
                    torch.ones_like(odds),
                ],
                dim=1,
            )
            for number, odds in self._log_odds(scores)
        ]
        return {"scores": torch.cat(rows).flatten()}

    def _log_odds(self, scores: Tensor) -> list[tuple[int, Tensor]]:
        """Return log p − log(1 − p) of each class that counts, (N,) of scores (N, K)."""
        if scores.shape[1] == 2:
            return [(1, scores[:, 1] - scores[:, 0])]
        found = []
        for number in range(scores.shape[1]):
            others = torch.cat([scores[:, :number], scores[:, number + 1 :]], dim=1)
            found.append((number, scores[:, number] - others.logsumexp(dim=1)))
        return found

    def joined(self, name: str, first: Tensor, second: Tensor) -> Tensor:
        """Return the rows of both, rounded and counted where there are too many."""
        rows = torch.cat([first, second]).view(-1, _COLUMNS)
        if rows[:, 3].sum() <= EXACT:
            return rows.flatten()
        odds = (rows[:, 1].clamp(-MOST, MOST) * STEPS).round() / STEPS
        keys = torch.stack([rows[:, 0], odds, rows[:, 2]], dim=1)
        kept, places = torch.unique(keys, dim=0, return_inverse=True)
        counts = torch.zeros(len(kept), dtype=rows.dtype).index_add_(0, places, rows[:, 3])
        return torch.cat([kept, counts[:, None]], dim=1).flatten()

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return both areas, or nothing where no class can be told from others."""
        rows = sums["scores"].view(-1, _COLUMNS)
        areas = []
        for number in torch.unique(rows[:, 0]):
            own = rows[rows[:, 0] == number]
            right, wrong = _by_score(own)
            if right.sum() and wrong.sum():
                areas.append((_auroc(right, wrong), _average_precision(right, wrong)))
        if not areas:
            return {}
        means = torch.tensor(areas, dtype=torch.float64).mean(0).tolist()
        return dict(zip(self.names, means, strict=True))


def _by_score(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many examples of the class, and of others, have each score, ascending."""
    scores, places = torch.unique(rows[:, 1], return_inverse=True)
    right, wrong = (
        torch.zeros(len(scores), dtype=rows.dtype).index_add_(0, places, weight)
        for weight in (rows[:, 3] * rows[:, 2], rows[:, 3] * (1 - rows[:, 2]))
    )
    return right, wrong


def _auroc(right: Tensor, wrong: Tensor) -> float:
    """Return the share of pairs in the right order, equal scores counting half."""
    below = wrong.cumsum(0) - wrong / 2
    return float((right * below).sum() / (right.sum() * wrong.sum()))


def _average_precision(right: Tensor, wrong: Tensor) -> float:
    """Return Σ (Rₙ − Rₙ₋₁) Pₙ, the highest score first."""
    right, wrong = right.flip(0), wrong.flip(0)
    found = right.cumsum(0)
    precision = found / (found + wrong.cumsum(0))
    return float((right * precision).sum() / right.sum())
