"""The steps of many clients at once, whatever their network: terms, clipping, decay, optimiser.

What is special to a kind of network, its passes forward and back, is in a subclass of
:class:`Descent`: dense chains in :mod:`fedlab.engine.stacked.dense`, others in
:mod:`fedlab.engine.stacked.mapped`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import nn

from fedlab.engine.stacked.batches import Run
from fedlab.training.optimizer import decay
from fedlab.training.task import LocalTask
from fedlab.training.terms import ParameterTerm

Terms = Sequence[ParameterTerm]


@dataclass(frozen=True)
class StackedSteps:
    """How the objective is descended by all clients of a stack.

    Attributes:
        batch_size: Examples per step.
        epochs: Passes over each client's examples, unless ``limit`` is set.
        limit: Number of steps instead of epochs.
        rate: The learning rate where a step is w ← w − rate · gradient and nothing more, else None.
        make_optimizer: Makes the optimiser of the stacked parameters, given them and where each
            stands among the trained ones.
        clip_norm: Largest Euclidean norm of a client's gradient in a step, or None.
        weight_decay: Decoupled weight decay.
    """

    batch_size: int
    epochs: Sequence[int]
    limit: int | None
    rate: float | None
    make_optimizer: Callable[[list[nn.Parameter], list[slice]], torch.optim.Optimizer]
    clip_norm: float | None = None
    weight_decay: float = 0.0


class Descent(ABC):
    """The weights of K clients on their way.

    Args:
        parameters: What is trained, (K, ...) each.
        parts: Where each stands among the trained parameters of one client.
        terms: Each client's parameter terms: dataclasses, alike but for their tensors' values.
        steps: How the objective is descended.
        takes_steps: Whether the subclass takes the steps itself, without an optimiser.
    """

    run_length = 0
    """Steps in a run; 0 for as many as are handled well at once."""

    def __init__(
        self,
        parameters: list[nn.Parameter],
        parts: list[slice],
        terms: Sequence[Terms],
        steps: StackedSteps,
        takes_steps: bool = False,
    ) -> None:
        self.steps, self.parameters, self._parts = steps, parameters, parts
        self._all_terms = terms
        self.optimizer = None if takes_steps else steps.make_optimizer(parameters, parts)
        self.has_terms = any(terms)
        self._terms = self._terms_of(len(terms))

    @abstractmethod
    def run(self, run: Run) -> None:
        """Take a run of steps of every client that is kept."""

    @abstractmethod
    def write(self, client: int, vector: torch.Tensor) -> None:
        """Write a client's weights into its flat vector, also of one that was not kept to the end.

        What is not stacked stays as it is.

        Args:
            client: Its place in the stack.
            vector: (size,).
        """

    @abstractmethod
    def narrow(self, count: int) -> None:
        """Let the weights be those of the first ``count`` clients only."""

    def keep(self, count: int) -> None:
        """Go on with the first ``count`` clients only."""
        if count == len(self.parameters[0]):
            return
        self.narrow(count)
        for parameter in self.parameters:
            state = self.optimizer.state[parameter] if self.optimizer is not None else {}
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.ndim:
                    state[name] = value[:count]
        self._terms = self._terms_of(count)

    def penalty(self, parameter: nn.Parameter) -> torch.Tensor:
        """Return the gradient of all terms in a parameter."""
        flat = parameter.data.flatten(1)
        gradients = [term.gradient(flat) for term in self._terms[parameter]]
        return sum(gradients[1:], gradients[0]).view_as(parameter)

    def descend(self) -> None:
        """Take a step by the gradients of the task loss that are there."""
        if self.has_terms:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.add_(self.penalty(parameter))
        if self.steps.clip_norm is not None:
            self._clip(self.steps.clip_norm)
        assert self.optimizer is not None
        if self.steps.weight_decay:
            decay(self.optimizer, self.steps.weight_decay)
        self.optimizer.step()

    def _terms_of(self, count: int) -> dict[nn.Parameter, list[ParameterTerm]]:
        """Return the first clients' terms, stacked, for each parameter."""
        kinds = list(zip(*self._all_terms[:count], strict=True))
        return {
            parameter: [_stacked(kind, part, parameter.device) for kind in kinds]
            for parameter, part in zip(self.parameters, self._parts, strict=True)
        }

    def _clip(self, norm: float) -> None:
        gradients = [p.grad.flatten(1) for p in self.parameters if p.grad is not None]
        lengths = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients])
        factors = (norm / (torch.linalg.vector_norm(lengths, dim=0) + 1e-12)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors.unsqueeze(1))


class StackKind(Protocol):
    """How clients of one network are stacked."""

    def descent(
        self,
        tasks: Sequence[LocalTask],
        vectors: Sequence[torch.Tensor],
        terms: Sequence[Terms],
        steps: StackedSteps,
    ) -> Descent:
        """Return the clients' weights, ready to be trained.

        Args:
            tasks: The clients' tasks.
            vectors: Each client's weights before, (size,).
            terms: Each client's parameter terms.
            steps: How the objective is descended.
        """
        ...


def _stacked(kind: Sequence[Any], part: slice, device: torch.device) -> Any:
    """Return one term over (K, n) weights from K clients' terms over (P,) weights.

    Args:
        kind: The clients' terms, of one dataclass.
        part: Which of the P parameters.
        device: Where the weights are.
    """
    values: dict[str, Any] = {}
    for field in fields(kind[0]):
        own = [getattr(term, field.name) for term in kind]
        if isinstance(own[0], torch.Tensor) and own[0].ndim:
            values[field.name] = torch.stack([tensor[part] for tensor in own])
        elif any(value != own[0] for value in own):
            values[field.name] = torch.tensor(own, device=device).unsqueeze(1)
    return replace(kind[0], **values)
