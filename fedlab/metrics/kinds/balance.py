"""Metrics in which every class counts alike."""

from __future__ import annotations

from typing import ClassVar

from fedlab.metrics.contract import Sums
from fedlab.metrics.kinds.tagging import Tagging
from fedlab.registry import metrics


@metrics.register("balance")
class Balance(Tagging):
    """Balanced accuracy: the mean over classes of the share of their examples that is right.

    Source: Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010;
    classes without examples do not count, as in scikit-learn.
    """

    names: ClassVar[tuple[str, ...]] = ("balanced_accuracy",)
    kinds: ClassVar[tuple[str, ...]] = ("classification", "tagging")

    def compute(self, sums: Sums) -> dict[str, float]:
        """Return the mean recall."""
        confusion = sums["confusion"].view(self.classes, self.classes)
        whole = confusion.sum(1)
        occurs = whole > 0
        recalls = confusion.diagonal()[occurs] / whole[occurs]
        return {"balanced_accuracy": float(recalls.mean())}
