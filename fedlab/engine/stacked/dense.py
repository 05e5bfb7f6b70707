"""Stacked dense networks: their passes written out, a step of plain descent within the backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fedlab.engine.stacked.batches import Run
from fedlab.engine.stacked.chain import StackedChain, StackedLinear
from fedlab.engine.stacked.descent import Descent, StackedSteps, Terms
from fedlab.training.task import LocalTask

MOST_DELAYED_ROWS = 64
"""Examples of a client in a run of delayed steps at most; more of them gained nothing."""

Layers = Sequence[tuple[str, nn.Module]]


@dataclass(frozen=True)
class Dense:
    """Networks of linear layers and activations, one after the other.

    Attributes:
        chain: The network's layers (:func:`fedlab.engine.stacked.chain.dense_chain`).
    """

    chain: Layers

    def descent(
        self,
        tasks: Sequence[LocalTask],
        vectors: Sequence[torch.Tensor],
        terms: Sequence[Terms],
        steps: StackedSteps,
    ) -> DenseDescent:
        """Return the clients' weights, ready to be trained."""
        limit = delayed_steps(self.chain, steps, any(terms))
        layout = tasks[0].network.model.layout
        stack = StackedChain(self.chain, layout, vectors, limit > 0)
        outputs = tasks[0].task.outputs
        descent = DenseDescent(stack, terms, steps, layout.trained.start, outputs)
        descent.run_length = limit
        return descent


def delayed_steps(chain: Layers, steps: StackedSteps, has_terms: bool) -> int:
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


class DenseDescent(Descent):
    """The dense networks of K clients on their way.

    Args:
        stack: Their weights.
        terms: Each client's parameter terms.
        steps: How the objective is descended.
        offset: Where the trained parameters begin in a client's flat vector.
        outputs: Number of classes.
    """

    def __init__(
        self,
        stack: StackedChain,
        terms: Sequence[Terms],
        steps: StackedSteps,
        offset: int,
        outputs: int,
    ) -> None:
        self._stack, self._outputs = stack, outputs
        places = [place for layer in stack.linear for place in layer.slices]
        super().__init__(
            [p for layer in stack.linear for p in layer.parameters],
            [slice(place.start - offset, place.stop - offset) for place in places],
            terms,
            steps,
            takes_steps=steps.rate is not None,
        )

    def narrow(self, count: int) -> None:
        """Let the weights be those of the first ``count`` clients only."""
        self._stack.keep(count)

    def write(self, client: int, vector: torch.Tensor) -> None:
        """Write a client's weights into its flat vector."""
        self._stack.write(client, vector)

    def run(self, run: Run) -> None:
        """Take a run of steps of every client that is kept."""
        inputs, targets = run.inputs.flatten(2), run.targets.unsqueeze(3)
        weights, picked = run.weights.unsqueeze(3), run.picked.unsqueeze(3)
        shape = (*run.targets.shape, self._outputs)
        wanted = weights.new_zeros(shape).scatter_(3, targets, weights)
        if self.steps.rate is not None:
            self._stack.look_ahead(inputs, self.steps.rate)
        width = inputs.shape[1] // len(targets)
        for number, step in enumerate(zip(targets, weights, wanted, picked, strict=True)):
            self._step(inputs[:, number * width : (number + 1) * width], *step)

    def _step(
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
        if self.optimizer is None:
            self._stack.backward(gradient, self._descend_within)
            return
        self._stack.backward(gradient, StackedLinear.store)
        self.descend()

    def _descend_within(self, layer: StackedLinear, gradient: torch.Tensor) -> None:
        rate = self.steps.rate
        assert rate is not None
        if self.has_terms:
            for parameter in layer.parameters:
                parameter.sub_(self.penalty(parameter), alpha=rate)
        layer.descend(gradient, rate)
