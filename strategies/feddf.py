"""FedDF: the average learns from the ensemble of the clients' models, on unlabelled examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from fedlab.algorithm.public import PublicInputs
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import Traits
from fedlab.algorithm.vector_strategy import (
    Reply,
    ServerContext,
    Vector,
    VectorStrategy,
    VectorStrategySettings,
    mean,
)
from fedlab.copying import to_host
from fedlab.registry import strategies
from fedlab.training.loop import Steps, descend
from fedlab.training.optimizer import OptimizerSettings, ScheduleSettings, build_optimizer


class FedDfSettings(VectorStrategySettings):
    """Keys of ``[strategy]`` for FedDF."""

    name: str = "feddf"
    distillation_steps: int = Field(
        500, ge=1, le=1_000_000, description="N: steps of the server's model a round"
    )
    distillation_batch_size: int = Field(128, ge=2, description="public examples per step")
    distillation_rate: float = Field(
        1e-3, gt=0, le=1, description="η: Adam's first learning rate, annealed to 0 by a cosine"
    )


@strategies.register("feddf")
class FedDf(VectorStrategy):
    """FedDF: ensemble distillation on unlabelled examples (Lin et al. 2020, NeurIPS).

    "Ensemble Distillation for Robust Model Fusion in Federated Learning", Algorithm 1, where all
    clients have one architecture. The student begins as the weighted mean of the replies x(k)
    (line 6) and takes N steps on mini-batches d of public examples, whose labels it never sees,

        x ← x − η ∂ KL(σ(1/|S| Σ_k f(x(k), d)) ‖ σ(f(x, d))) / ∂x        (AVGLOGITS, lines 7–9)

    by Adam, its rate annealed by a cosine. Each teacher f(x(k), ·) has the batch-norm statistics of
    its client; the student's start from their mean and continue to change with the public batches.

    The paper stops distillation early and, for networks without normalisation, leaves out clients
    that only guess ("drop-worst"), both by a labelled validation set on the server; here there is
    none, so N is fixed and every reply counts.
    Prototypes of several architectures (its Algorithm 3) are left out as well. The public examples
    are ``[data.public]``'s.

    Attributes:
        public: The public inputs, and a model to apply to them.
        divergence: The KL of the last round's first and last batch.
    """

    Settings: ClassVar[type[VectorStrategySettings]] = FedDfSettings
    traits = Traits(needs_public=True, statistics="own")
    public: PublicInputs

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.divergence: list[float] = []

    def begin(self, context: ServerContext) -> None:
        """Store the public inputs."""
        super().begin(context)
        assert context.public is not None
        self.public = context.public

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the student cannot learn from the teachers' outputs."""
        yield from super().objections(setup)
        if setup.task.kind != "classification":
            yield (
                "strategy.name: 'feddf' compares scores of classes, and the data set's task is "
                f"{setup.task.kind}; take a data set with classes"
            )
        elif setup.network.model.layout.personal_size:
            yield (
                "strategy.name: 'feddf' asks the clients' whole models, and part of this one stays "
                "on its client; set model.personal = 'none' and model.batch_norm = 'train' or "
                "'frozen'"
            )

    def step(self, server_round: int, weights: Vector, replies: Sequence[Reply]) -> Vector:
        """Return the mean of the replies after distillation."""
        batches = self._batches()
        seen, places = np.unique(batches, return_inverse=True)
        with self.public.computing():
            said = [scores(self.public.outputs(reply.weights, seen)) for reply in replies]
            taught = torch.stack(said).mean(0).log_softmax(1)
            targets = taught[torch.from_numpy(places.reshape(batches.shape)).to(taught.device)]
            return self._distilled(mean(replies), batches, targets)

    def record(self) -> dict[str, Any]:
        """Return the student's divergence from its teachers on the first and the last batch."""
        return {"divergence": self.divergence} if self.divergence else {}

    def _batches(self) -> Vector:
        """Return (N, B) rows of the public examples, drawn pass by pass."""
        steps, examples = self.settings.distillation_steps, len(self.public)
        size = min(self.settings.distillation_batch_size, examples)
        passes = -(-steps * size // examples)
        rows = np.concatenate([np.random.permutation(examples) for _ in range(passes)])
        return rows[: steps * size].reshape(steps, size)

    def _distilled(self, student: Vector, batches: Vector, targets: torch.Tensor) -> Vector:
        """Return the student after a step on each batch.

        Args:
            student: (wire_size,) its first weights.
            batches: (N, B) rows of the public examples.
            targets: (N, B, classes) the logarithms of the ensemble's probabilities.
        """
        public, model = self.public, self.public.network.model
        public.load(student)
        public.network.train_mode()
        adam = OptimizerSettings(name="adam", lr=self.settings.distillation_rate)
        steps = Steps(
            build_optimizer(adam, [model.parameter]),
            batches.shape[1],
            schedule=ScheduleSettings(name="cosine").factor,
        )
        rates, losses = steps.rates(), []
        for taken, inputs in enumerate(public.prepared(batches)):
            steps.set_rates(rates, taken, len(batches))
            model.zero_gradient()
            loss = divergence(targets[taken], model.call(inputs))
            loss.backward()  # type: ignore[no-untyped-call]
            descend(steps)
            losses.append(loss.detach())
        # Numbers that are read make the CPU wait for the device: two, and not one a step.
        self.divergence = [losses[0].item(), losses[-1].item()]
        wire: Vector = to_host(model.wire()).numpy()
        return wire


def divergence(taught: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return KL(teacher ‖ student), the mean over a batch.

    Args:
        taught: (B, classes) the logarithms of the teacher's probabilities.
        outputs: (B, outputs) of the student.
    """
    said = scores(outputs).log_softmax(1)
    return functional.kl_div(said, taught, log_target=True, reduction="batchmean")


def scores(outputs: torch.Tensor) -> torch.Tensor:
    """Return (B, classes) scores; a single one is that of class 1 against class 0."""
    return functional.pad(outputs, (1, 0)) if outputs.shape[1] == 1 else outputs
