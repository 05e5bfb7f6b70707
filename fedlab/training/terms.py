"""Terms of the local objective: task loss + terms.

A *parameter term* depends on the parameters alone and works element by element, so one definition
serves one client (a vector of P parameters) and many stacked clients (K × P) alike. A *batch term*
depends on the batch's inputs, targets and outputs; it is added to the task loss before
``backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from fedlab.models.network import Network
from fedlab.training.task import LocalTask


class ParameterTerm(Protocol):
    """A term that depends on the trained parameters w alone, element by element."""

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the term's gradient at ``weights``, of the same shape (..., P)."""
        ...


class BatchTerm(Protocol):
    """A term that depends on a batch, such as a contrastive or a distillation loss.

    One that is a mean over the batch's examples says so by an attribute ``is_mean`` that is true:
    then batches can be computed in pieces (``engine.micro_batch``).
    """

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Return the term's value, a scalar that gradients can flow through."""
        ...


@dataclass(frozen=True)
class L1:
    """λ ‖w‖₁, whose subgradient is λ sign(w) (Tibshirani 1996)."""

    strength: float

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return λ sign(w)."""
        return self.strength * weights.sign()


@dataclass(frozen=True)
class L2:
    """λ/2 ‖w‖², whose gradient is λ w: weight decay inside the objective (not decoupled)."""

    strength: float

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return λ w."""
        return self.strength * weights


@dataclass(frozen=True)
class Proximal:
    """µ/2 ‖w − a‖², a pull towards an anchor a (FedProx, Li et al. 2020, equation 2; L2-SP)."""

    strength: float
    anchor: torch.Tensor

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return µ (w − a)."""
        return self.strength * (weights - self.anchor)


@dataclass(frozen=True)
class Anchored:
    """½ Σᵢ sᵢ (wᵢ − aᵢ)²: a pull of its own strength on each parameter."""

    strengths: torch.Tensor
    anchor: torch.Tensor

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return s ∘ (w − a)."""
        return self.strengths * (weights - self.anchor)


def l2_sp(network: Network, backbone: float, head: float) -> Anchored:
    """Return L2-SP's term for what a network trains at present.

    Li, Grandvalet and Davoine 2018, "Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks" (ICML), equation 2: α/2 ‖w_S − w_S⁰‖² + β/2 ‖w_S̄‖², S being what the
    network shares with the pretrained one, and S̄ the new head.

    Args:
        network: The network; with ``backbone`` above 0 its model keeps its first weights
            (:meth:`fedlab.models.layout.FlatModel.keep_start`).
        backbone: α.
        head: β.
    """
    model = network.model
    offset, size = model.layout.trained.start, model.parameter.numel()
    anchor = torch.zeros(size, device=model.device)
    strengths = torch.full_like(anchor, backbone)
    if backbone:
        anchor.copy_(model.start[model.layout.trained])
    for entry, _ in model.trained:
        if entry.name.startswith(network.head):
            own = entry.place(offset)
            strengths[own], anchor[own] = head, 0.0
    return Anchored(strengths, anchor)


@dataclass(frozen=True)
class Linear:
    """⟨d, w⟩, whose gradient is the constant d: corrections such as control variates."""

    direction: torch.Tensor

    def gradient(self, weights: torch.Tensor) -> torch.Tensor:
        """Return d, whatever the weights are."""
        return self.direction.expand_as(weights)


TaskLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of a batch's outputs and targets; usually a :class:`fedlab.training.criterion.Criterion`."""


@dataclass(frozen=True)
class Batch:
    """One mini-batch, with the model's outputs.

    Attributes:
        task: The local task that the batch belongs to.
        inputs: (B, ...) prepared inputs.
        targets: (B, ...) targets.
        outputs: (B, ...) the model's outputs.
        representations: (B, ...) the inputs of its head.
    """

    task: LocalTask
    inputs: torch.Tensor
    targets: torch.Tensor
    outputs: torch.Tensor
    representations: torch.Tensor


@dataclass(frozen=True)
class Objective:
    """The local objective: task loss + terms."""

    criterion: TaskLoss
    parameter_terms: Sequence[ParameterTerm] = ()
    batch_terms: Sequence[BatchTerm] = ()
