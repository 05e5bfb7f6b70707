"""The local loop for many clients at once: the plain loop's steps on stacked dense networks.

It draws the same batches in the same order as :func:`fedlab.training.loop.fit` and descends the
same objective, so its weights agree with the plain loop's to float tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from fedlab.engine.stacked.batches import StackedBatches, StepTensors
from fedlab.engine.stacked.chain import StackedChain, StackedLinear
from fedlab.training.loop import Fit
from fedlab.training.optimizer import decay
from fedlab.training.task import LocalTask
from fedlab.training.terms import ParameterTerm

MOST_DELAYED_ROWS = 64
"""Examples of a client in a run of delayed steps at most; more of them gained nothing."""

Layers = Sequence[tuple[str, nn.Module]]
Terms = Sequence[ParameterTerm]


@dataclass(frozen=True)
class StackedSteps:
    """How the objective is descended by all clients of a stack.

    Attributes:
        batch_size: Examples per step.
        epochs: Passes over each client's examples, unless ``limit`` is set.
        limit: Number of steps instead of epochs.
        rate: The learning rate where a step is w ← w − rate · gradient and nothing more, else None.
        make_optimizer: Makes the optimiser of the stacked parameters where ``rate`` is None, given
            them and where each stands among the trained ones.
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


@torch.no_grad()
def fit_stacked(
    chain: Layers,
    tasks: Sequence[LocalTask],
    vectors: Sequence[torch.Tensor],
    terms: Sequence[Terms],
    steps: StackedSteps,
) -> tuple[list[Fit], StackedChain]:
    """Train the clients of a stack on cross-entropy + terms.

    Args:
        chain: The network's layers (:func:`fedlab.engine.stacked.chain.dense_chain`).
        tasks: The clients' tasks, the one with the most steps first.
        vectors: Each client's weights before, (size,).
        terms: Each client's parameter terms: dataclasses, alike but for their tensors' values.
        steps: How.

    Returns:
        Each client's fit, and the stack, which holds the clients' weights after it.
    """
    batches = StackedBatches(tasks, steps.batch_size, steps.epochs, steps.limit)
    layout = tasks[0].network.model.layout
    limit = _delayed_steps(chain, steps, any(terms))
    stack = StackedChain(chain, layout, vectors, limit > 0)
    descent = _Descent(stack, terms, steps, layout.trained.start)
    for start, stop, count in _segments(batches.lengths):
        descent.keep(count)
        for inputs, batch in batches.runs(start, stop, count, limit):
            descent.run(inputs, batch)
    return batches.fits(), stack


def _delayed_steps(chain: Layers, steps: StackedSteps, has_terms: bool) -> int:
    """Return how many delayed steps make a run; 0 where steps are not delayed.

    It pays as long as products among a run's examples are small beside those with the weights. The
    number does not depend on how many clients are stacked, so neither do the weights' last bits.
    """
    first = chain[0][1]
    if steps.rate is None or has_terms or not isinstance(first, nn.Linear):
        return 0
    rows = min(first.out_features // 2, MOST_DELAYED_ROWS)
    count = rows // steps.batch_size
    return count if count > 1 else 0


def _segments(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first step, last step + 1, clients that take them) for falling ``lengths``."""
    start = 0
    for stop in sorted(set(lengths)):
        if stop > start:
            yield start, stop, sum(length >= stop for length in lengths)
        start = stop


class _Descent:
    """The steps of a stack's clients."""

    def __init__(
        self, stack: StackedChain, terms: Sequence[Terms], steps: StackedSteps, offset: int
    ) -> None:
        self._stack = stack
        self._all_terms = terms
        self._steps = steps
        self._parameters = [p for layer in stack.linear for p in layer.parameters]
        places = [place for layer in stack.linear for place in layer.slices]
        self._parts = [slice(place.start - offset, place.stop - offset) for place in places]
        self._optimizer = None
        if steps.rate is None:
            self._optimizer = steps.make_optimizer(self._parameters, self._parts)
        self._has_terms = any(terms)
        self._terms = self._terms_of(len(terms))

    def _terms_of(self, count: int) -> dict[nn.Parameter, list[ParameterTerm]]:
        """Return the first clients' terms, stacked, for each parameter."""
        kinds = list(zip(*self._all_terms[:count], strict=True))
        return {
            parameter: [_stacked(kind, part, parameter.device) for kind in kinds]
            for parameter, part in zip(self._parameters, self._parts, strict=True)
        }

    def keep(self, count: int) -> None:
        """Go on with the first ``count`` clients only."""
        if count == len(self._parameters[0]):
            return
        self._stack.keep(count, self._optimizer)
        self._terms = self._terms_of(count)

    def run(self, inputs: torch.Tensor, steps: Sequence[StepTensors]) -> None:
        """Take a run of steps of every client, whose inputs are (K, steps · B, values)."""
        if self._steps.rate is not None:
            self._stack.look_ahead(inputs, self._steps.rate)
        width = inputs.shape[1] // len(steps)
        for number, step in enumerate(steps):
            self.step(inputs[:, number * width : (number + 1) * width], *step)

    def step(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        wanted: torch.Tensor,
        picked: torch.Tensor,
    ) -> None:
        """Take one step of every client.

        Args:
            inputs: (K, B, values).
            targets: (K, B, 1) classes.
            weights: (K, B, 1) each example's weight in its client's loss; 0 for what fills up.
            wanted: (K, B, classes), the weight at the target's place, else 0.
            picked: (K, B, 1), filled with the log-likelihoods of the targets.
        """
        likelihoods = torch.log_softmax(self._stack.forward(inputs), 2)
        torch.gather(likelihoods, 2, targets, out=picked)
        gradient = likelihoods.exp_().mul_(weights).sub_(wanted)
        if self._optimizer is None:
            self._stack.backward(gradient, self._descend)
            return
        self._stack.backward(gradient, StackedLinear.store)
        if self._has_terms:
            self._add_terms()
        if self._steps.clip_norm is not None:
            self._clip(self._steps.clip_norm)
        if self._steps.weight_decay:
            decay(self._optimizer, self._steps.weight_decay)
        self._optimizer.step()

    def _descend(self, layer: StackedLinear, gradient: torch.Tensor) -> None:
        rate = self._steps.rate
        assert rate is not None
        if self._has_terms:
            for parameter in layer.parameters:
                parameter.sub_(self._penalty(parameter), alpha=rate)
        layer.descend(gradient, rate)

    def _penalty(self, parameter: nn.Parameter) -> torch.Tensor:
        """Return the gradient of all terms in a parameter."""
        flat = parameter.data.flatten(1)
        gradients = [term.gradient(flat) for term in self._terms[parameter]]
        return sum(gradients[1:], gradients[0]).view_as(parameter)

    def _add_terms(self) -> None:
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad.add_(self._penalty(parameter))

    def _clip(self, norm: float) -> None:
        gradients = [p.grad.flatten(1) for p in self._parameters if p.grad is not None]
        lengths = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients])
        factors = (norm / (torch.linalg.vector_norm(lengths, dim=0) + 1e-12)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors.unsqueeze(1))


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
