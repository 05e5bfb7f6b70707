"""FedProx: a proximal term keeps local models near the global one (Li et al. 2020, MLSys)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.errors import FedlabError
from fedlab.registry import clients
from fedlab.training.task import LocalTask
from fedlab.training.terms import ParameterTerm, Proximal


@clients.register("fedprox")
class FedProx(ClientAlgorithm):
    """FedProx: adds µ/2 ‖w − wᵗ‖² to the local objective (Li et al. 2020, equation 2).

    Flower's FedProx strategy sends µ as ``proximal-mu``; wᵗ are the weights as received.
    """

    required_strategy_key: ClassVar[str | None] = "proximal_mu"

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms and the proximal one."""
        strength = task.config.get("proximal-mu")
        if not isinstance(strength, float):
            raise FedlabError(
                "client 'fedprox' needs a strategy that sends proximal-mu: set strategy.name = "
                "'fedprox'"
            )
        return [*super().parameter_terms(task), Proximal(strength, task.anchor)]
