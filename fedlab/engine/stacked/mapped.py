"""Stacked networks of any layers: one forward pass over K clients' weights, by ``torch.vmap``.

A small network leaves a card idle while its kernels are launched. With a leading dimension of K
clients on every weight and batch, one launch serves K of them: products become batched products,
convolutions grouped ones. Each client's loss depends on its own weights alone, so the gradient of
the sum of all losses is every client's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn
from torch.func import functional_call

from fedlab.data.dataset import Task
from fedlab.engine.stacked.batches import Run
from fedlab.engine.stacked.cells import without_kernels_of_one
from fedlab.engine.stacked.chain import NotStackable
from fedlab.engine.stacked.descent import Descent, StackedSteps, Terms
from fedlab.models.layout import Layout
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm
from fedlab.models.zoo.contract import ZooModel
from fedlab.models.zoo.recurrent import RecurrentModel
from fedlab.training.task import LocalTask

RATES = ("p", "dropout", "drop_prob")
"""Where modules keep the rate at which they drop."""


def check_mapped(network: Network, task: Task) -> None:
    """Check that one forward pass can serve many clients' weights.

    Raises:
        NotStackable: If it cannot.
    """
    module = network.model.module
    if not isinstance(module, ZooModel) or not module.can_be_stacked:
        raise NotStackable("its forward pass is not known to take the weights of many clients")
    for part in module.modules():
        if part in network.frozen:
            continue
        if isinstance(part, BatchNorm):
            raise NotStackable("it gathers the statistics of batch norm")
        if isinstance(part, nn.RNNBase) and (part.num_layers > 1 or not part.batch_first):
            raise NotStackable("it has a recurrent layer of several levels")
        rates = [getattr(part, name, 0.0) for name in RATES]
        if any(isinstance(rate, float) and rate > 0 for rate in rates):
            raise NotStackable("it draws dropout masks")
    padded = task.modality == "text" and task.input_padding is not None
    if isinstance(module, RecurrentModel) and module.is_bidirectional and padded:
        raise NotStackable("it reads padded texts backwards")
    own = dict(network.model.body.named_parameters())
    whole = dict(module.named_parameters())
    if any(own.get(entry.name) is not whole[entry.name] for entry, _ in network.model.trained):
        raise NotStackable("it trains on cached features")


def values_of_a_step(network: Network, task: Task, batch_size: int) -> int:
    """Return about how many values the layers of one client's network put out in a step.

    Args:
        network: The network.
        task: The task.
        batch_size: Examples per step.
    """
    counts: list[int] = []

    def count(layer: nn.Module, _: object, outputs: object) -> None:
        found = outputs[0] if isinstance(outputs, tuple) else outputs
        if isinstance(found, torch.Tensor):
            # A recurrent layer's gates and states, written out, are about eight times its outputs.
            counts.append(found.numel() * (8 if isinstance(layer, nn.RNNBase) else 1))

    leaves = [part for part in network.model.module.modules() if not any(part.children())]
    hooks = [part.register_forward_hook(count) for part in leaves]
    kind = torch.int64 if task.modality == "text" else torch.float32
    network.evaluation_mode()
    try:
        with torch.no_grad():
            example = torch.zeros(1, *task.input_shape, dtype=kind, device=network.model.device)
            network.model.module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts) * batch_size


@dataclass(frozen=True)
class Mapped:
    """Networks of any layers that draw nothing and look at no value to choose their way.

    Attributes:
        network: The network.
    """

    network: Network

    @cached_property
    def call(self) -> nn.Module:
        """Return the network's forward pass, made of operations that know a further dimension."""
        self.network.train_mode()
        twin = without_kernels_of_one(copy.deepcopy(self.network.model.body))
        if isinstance(twin, ZooModel):
            twin.may_look_at_values = False
        return twin

    def descent(
        self,
        tasks: Sequence[LocalTask],
        vectors: Sequence[torch.Tensor],
        terms: Sequence[Terms],
        steps: StackedSteps,
    ) -> MappedDescent:
        """Return the clients' weights, ready to be trained."""
        layout = self.network.model.layout
        own = {name for name, _ in _tensors(self.call)}
        stacked = torch.stack(list(vectors))
        padding = tasks[0].task.padding
        return MappedDescent(self.call, layout, own, stacked, terms, steps, padding)


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _over_clients(call: nn.Module) -> Callable[..., torch.Tensor]:
    """Return what maps K clients' tensors, by name, and inputs (K, B, ...) to outputs."""

    def of_one(tensors: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = functional_call(call, tensors, (inputs,))
        return outputs

    return torch.vmap(of_one)


class MappedDescent(Descent):
    """The networks of K clients on their way: all of a client's weights in a row.

    Args:
        call: The network's forward pass.
        layout: Where its tensors stand in a row.
        own: The names of the tensors that the forward pass has.
        vectors: (K, size), changed in place.
        terms: Each client's parameter terms.
        steps: How the objective is descended.
        padding: The target that is not counted.
    """

    def __init__(
        self,
        call: nn.Module,
        layout: Layout,
        own: set[str],
        vectors: torch.Tensor,
        terms: Sequence[Terms],
        steps: StackedSteps,
        padding: int,
    ) -> None:
        self._layout, self._padding, self._whole = layout, padding, vectors
        self._entries = [entry for entry in layout.entries if entry.name in own]
        trained = nn.Parameter(vectors[:, layout.trained], requires_grad=False)
        self._gradient = torch.zeros_like(trained.data, memory_format=torch.contiguous_format)
        self._forward = _over_clients(call)
        super().__init__([trained], [slice(0, trained.shape[1])], terms, steps)
        self.narrow(len(vectors))

    def narrow(self, count: int) -> None:
        """Let the weights be those of the first ``count`` clients only."""
        (parameter,) = self.parameters
        trained, rows = self._layout.trained, self._whole[:count]
        parameter.data = rows[:, trained]
        parameter.grad = self._gradient[:count]
        self._tensors = {entry.name: entry.view(rows).detach() for entry in self._entries}
        own = [e for e in self._entries if trained.start <= e.start < trained.stop]
        self._leaves = [self._tensors[entry.name].requires_grad_() for entry in own]
        self._gradients = [entry.view(parameter.grad, trained.start) for entry in own]

    def write(self, client: int, vector: torch.Tensor) -> None:
        """Write a client's weights into its flat vector."""
        vector.copy_(self._whole[client])

    def run(self, run: Run) -> None:
        """Take a run of steps of every client that is kept."""
        width = run.targets.shape[2]
        steps = zip(run.targets, run.weights, run.picked, strict=True)
        for number, step in enumerate(steps):
            self._step(run.inputs[:, number * width : (number + 1) * width], *step)

    def _step(
        self,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        picked: torch.Tensor,
    ) -> None:
        """Take one step of every client.

        Args:
            inputs: (K, B, ...).
            targets: (K, B) classes, or (K, B, T).
            weights: (K, B) each example's weight in its client's loss; 0 for what fills up.
            picked: (K, B), filled with what each example has to do with the loss.
        """
        with torch.enable_grad():
            outputs = self._forward(self._tensors, inputs)
        likelihoods = torch.log_softmax(outputs.detach(), -1)
        classes, shares = targets.clamp(min=0).unsqueeze(-1), self._shares(targets, weights)
        picks = torch.where(shares > 0, likelihoods.gather(-1, classes).squeeze(-1), 0.0) * shares
        examples = (weights > 0).sum(1, keepdim=True)
        picked.copy_(picks.flatten(2).sum(2) if picks.ndim > 2 else picks).mul_(examples)
        # Of the loss in the outputs: what softmax gives each class, less the one that was wanted.
        wanted = torch.zeros_like(likelihoods).scatter_(-1, classes, shares.unsqueeze(-1))
        gradient = likelihoods.exp_().mul_(shares.unsqueeze(-1)).sub_(wanted)
        found = torch.autograd.grad(outputs, self._leaves, gradient, materialize_grads=True)
        torch._foreach_copy_(self._gradients, list(found))
        self.descend()

    def _shares(self, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return each target's share in its client's mean loss, of the shape of ``targets``."""
        real = weights > 0
        if targets.ndim > 2:
            real = real.unsqueeze(2)
        counted = real & (targets != self._padding)
        return counted / counted.flatten(1).sum(1).view(-1, *[1] * (targets.ndim - 1))
