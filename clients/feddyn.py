"""FedDyn's client: a linear and a proximal term that change each round (Acar et al. 2021, ICLR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from fedlab.algorithm.client import ClientAlgorithm
from fedlab.registry import clients
from fedlab.training.loop import Fit
from fedlab.training.task import LocalTask, Update
from fedlab.training.terms import Linear, ParameterTerm, Proximal


@clients.register("feddyn")
class FedDyn(ClientAlgorithm):
    """FedDyn: local objectives aligned to a common stationary point (Acar et al. 2021, ICLR).

    Algorithm 1, client, with θ from the server and gₖ the client's own, at first 0:

        θₖ ← argmin Lₖ(w) − ⟨gₖ, w⟩ + α/2 ‖w − θ‖²
        gₖ ← gₖ − α (θₖ − θ)

    gₖ converges to the gradient of Lₖ at the common stationary point.
    """

    required_strategy: ClassVar[str | None] = "feddyn"

    def parameter_terms(self, task: LocalTask) -> Sequence[ParameterTerm]:
        """Return the supervised terms, ⟨−gₖ, w⟩ and the proximal one.

        Both act on the parameters that travel; α/2 ‖w − θ‖² also holds personal ones.
        """
        direction = task.network.model.layout.over_trained(-self._gradient(task))
        proximal = Proximal(self._alpha(task), task.anchor)
        return [*super().parameter_terms(task), Linear(direction), proximal]

    def update(self, task: LocalTask, fitted: Fit) -> Update:
        """Return θₖ, and gₖ, (parameters,), to keep."""
        update, before = super().update(task, fitted), self._gradient(task)
        moved = (update.weights - task.wire)[: len(before)]
        state = {**update.state, "gradient": before - self._alpha(task) * moved}
        return replace(update, state=state)

    def _gradient(self, task: LocalTask) -> torch.Tensor:
        own = task.state.get("gradient")
        return (
            task.wire.new_zeros(task.network.model.layout.wire_parameters) if own is None else own
        )

    def _alpha(self, task: LocalTask) -> float:
        return float(task.config["alpha"])
