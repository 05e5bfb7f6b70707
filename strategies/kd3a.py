"""KD3A's server: models of source domains count by what they add to the target's consensus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import Reply, Vector, VectorStrategy, VectorStrategySettings
from fedlab.registry import strategies

CONSENSUS = "consensus"


class Kd3aSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for KD3A."""

    name: str = "kd3a"


@strategies.register("kd3a")
class Kd3a(VectorStrategy):
    """KD3A: source models count by their consensus on the target (Feng et al. 2021, ICML).

    "KD3A: Unsupervised Multi-Source Decentralized Domain Adaptation via Knowledge Distillation",
    section 3. With Q of the client "kd3a", the *consensus focus* of source k among the sources S is

        CF_k = Q(S) − Q(S without k)                               (equation 6; below 0 it is 0)

    and the new model is Σ α_k θ_k over the sources' models and, as one more, the target's, with

        α_target = N_target / (N_target + Σ N_k),   α_k = (1 − α_target) N_k CF_k / Σ N_j CF_j

    (equation 7). It includes the running statistics of batch norm, by which the paper's
    batch-norm MMD is least in closed form, as in the authors' code. Where all CF are 0 a source
    counts N_k, one whose CF is not known the mean of the others'. Several targets add up their Q.
    In the first round there is nothing to vote with yet, and the targets' models are left out.

    Attributes:
        teachers: The sources' models of the last round that had some, by client.
        focus: CF by client.
        alpha: α by client, of the last round.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = Kd3aSettings
    traits = Traits(client="kd3a", statistics="own")

    def __init__(self, settings: Kd3aSettings) -> None:
        super().__init__(settings)
        self.teachers: dict[str, Vector] = {}
        self.focus: dict[str, float] = {}
        self.alpha: dict[str, float] = {}

    def broadcast(self, server_round: int, weights: Vector) -> dict[str, Vector]:
        """Return the sources' models of the round before."""
        return {f"teacher-{k}": model for k, model in enumerate(self.teachers.values())}

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return Σ α_k θ_k, and store the sources' models and their CF."""
        sources = [reply for reply in replies if not reply.arrays[CONSENSUS][0]]
        targets = [reply for reply in replies if reply.arrays[CONSENSUS][0] and self.teachers]
        if targets:
            told = np.stack([reply.arrays[CONSENSUS][1:] for reply in targets])
            self._focus_on(told.sum(0, dtype=np.float64))
        if not sources and not targets:
            return weights
        counted = self._source_weights(sources)
        total = sum(reply.weight for reply in (*sources, *targets))
        left = sum(reply.weight for reply in sources) / total
        alphas = [left * share for share in counted] + [r.weight / total for r in targets]
        pairs = list(zip((*sources, *targets), alphas, strict=True))
        self.alpha = {str(reply.client): float(alpha) for reply, alpha in pairs}
        if sources:
            self.teachers = {str(reply.client): reply.weights.copy() for reply in sources}
        new = sum(alpha * reply.weights.astype(np.float64) for reply, alpha in pairs)
        return np.asarray(new)

    def record(self) -> dict[str, Any]:
        """Return α of the round, in the order of clients: the sources', then the targets'."""
        return {"alpha": list(self.alpha.values())} if self.alpha else {}

    def _focus_on(self, qualities: Vector) -> None:
        """Set CF of the sources that voted.

        Args:
            qualities: (1 + sources,) Q(S), and Q without each.
        """
        for k, client in enumerate(self.teachers):
            self.focus[client] = float(max(qualities[0] - qualities[1 + k], 0.0))

    def _source_weights(self, sources: Sequence[Reply]) -> Vector:
        """Return N_k CF_k of sources, as shares of their sum."""
        known = [self.focus[str(r.client)] for r in sources if str(r.client) in self.focus]
        usual = float(np.mean(known)) if known else 1.0
        sizes = np.array([reply.weight for reply in sources], np.float64)
        focus = np.array([self.focus.get(str(reply.client), usual) for reply in sources])
        weights = sizes * focus
        if weights.sum() == 0:
            weights = sizes
        return np.asarray(weights / weights.sum() if len(sources) else weights)
