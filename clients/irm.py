"""IRM's client: a classifier that is optimal in each domain (Arjovsky et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.algorithm.setup import Setup
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import Batch, BatchTerm


class IrmSettings(ClientSettings):
    """Keys of ``[client]``."""

    penalty: float = Field(0.1, ge=0, description="λ, the weight of the penalty")
    penalty_from: int = Field(
        1, ge=1, description="first round with λ; before it the weight of the penalty is at most 1"
    )


@clients.register("irm")
class Irm(ClientAlgorithm):
    """IRM: the risk of each domain is stationary in the classifier's scale (Arjovsky et al. 2019).

    "Invariant risk minimization", IRMv1: each client, a domain e, descends

        R_e(f) + λ ‖∇_w R_e(w · f) at w = 1‖²

    With cross-entropy of outputs z, that gradient is the mean over examples of Σ_c p_c z_c − z_y.
    Its square is estimated without bias by the product over two halves of a batch, as in the
    paper's appendix D. FedAvg over clients is then the paper's sum over domains.
    """

    Settings: ClassVar[type[ClientSettings]] = IrmSettings
    settings: IrmSettings
    couples_examples: ClassVar[bool] = True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence where the task loss is no cross-entropy over classes."""
        yield from super().objections(setup)
        task = setup.task
        plain = self.settings.criterion in ("auto", "cross-entropy")
        if task.kind != "classification" or task.outputs < 2 or not plain:
            yield (
                "client.name: 'irm' has the gradient of cross-entropy over classes; take data with "
                "classes, and leave client.criterion out"
            )

    def batch_terms(self, task: LocalTask) -> Sequence[BatchTerm]:
        """Return the supervised terms and the penalty."""
        weight = self.settings.penalty
        if task.round < self.settings.penalty_from:
            weight = min(weight, 1.0)
        terms = super().batch_terms(task)
        return [*terms, InvariancePenalty(weight)] if weight else terms


@dataclass(frozen=True)
class InvariancePenalty:
    """λ (mean of g over even examples) (mean of g over odd ones), g = Σ_c p_c z_c − z_y."""

    strength: float

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the penalty of a batch; of a single example 0."""
        if len(batch.targets) < 2:
            return batch.outputs.sum() * 0
        outputs = batch.outputs
        expected = (outputs.softmax(1) * outputs).sum(1)
        slopes = expected - outputs.gather(1, batch.targets[:, None])[:, 0]
        return self.strength * slopes[::2].mean() * slopes[1::2].mean()
