"""Many clients' dense networks at once: their weights stacked, their passes batched products.

A small dense network spends most of a training step in calling operations. Stacked, one call serves
K clients, and the update W ← W − lr ∇ᵀ x is one batched product that adds onto the weights, so that
no gradient is written to memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import fx, nn

from fedlab.models.layout import Layout

Backward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
ACTIVATIONS: dict[type[nn.Module], tuple[Callable[[torch.Tensor], torch.Tensor], Backward]] = {
    nn.ReLU: (torch.relu_, lambda grad, out: torch.ops.aten.threshold_backward(grad, out, 0)),
    nn.Tanh: (torch.tanh_, lambda grad, out: torch.ops.aten.tanh_backward(grad, out)),
    nn.Sigmoid: (torch.sigmoid_, lambda grad, out: torch.ops.aten.sigmoid_backward(grad, out)),
}
"""Each activation in place, and its backward pass from the gradient and the output."""


class NotStackable(Exception):
    """Why a network cannot be stacked."""


def dense_chain(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the linear layers and activations that a module applies one after the other, by name.

    Raises:
        NotStackable: If it does anything else.
    """
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception as error:
        raise NotStackable("its forward pass is not a chain of layers") from error
    chain: list[tuple[str, nn.Module]] = []
    last: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "output":
            if node.args != (last,):
                raise NotStackable("it has several outputs")
            return chain
        if node.op == "placeholder" and last is None:
            last = node
            continue
        if len(node.all_input_nodes) != 1 or node.all_input_nodes[0] is not last:
            raise NotStackable("its forward pass is not a chain of layers")
        last = node
        if node.op == "call_method" and node.target == "flatten" and not _has_linear(chain):
            continue
        if node.op != "call_module":
            raise NotStackable("its forward pass is not a chain of layers")
        layer = module.get_submodule(str(node.target))
        if not _does_nothing(layer, chain):
            chain.append((str(node.target), layer))
    raise NotStackable("it has no output")


def _does_nothing(layer: nn.Module, chain: Sequence[tuple[str, nn.Module]]) -> bool:
    """Return whether a layer leaves flat inputs as they are; refuse what cannot be stacked."""
    if isinstance(layer, nn.Identity) or (isinstance(layer, nn.Dropout) and layer.p == 0):
        return True
    if isinstance(layer, nn.Flatten) and not _has_linear(chain):
        return True
    if isinstance(layer, nn.Dropout):
        raise NotStackable("it draws dropout masks")
    if type(layer) is not nn.Linear and type(layer) not in ACTIVATIONS:
        raise NotStackable(f"it has a {type(layer).__name__} layer")
    return False


def _has_linear(chain: Sequence[tuple[str, nn.Module]]) -> bool:
    return any(isinstance(layer, nn.Linear) for _, layer in chain)


class StackedLinear:
    """K linear layers.

    Attributes:
        weight: (K, out, in).
        bias: (K, out), or None.
        slices: Where weight and bias stand in a client's flat vector.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], slices: Sequence[slice]) -> None:
        self.weight = nn.Parameter(tensors[0], requires_grad=False)
        self.bias = nn.Parameter(tensors[1], requires_grad=False) if len(tensors) > 1 else None
        self.slices = tuple(slices)
        self._all = tuple(tensors)
        self.keep(len(tensors[0]))

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return weight and bias."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def keep(self, count: int) -> None:
        """Go on with the first ``count`` clients only."""
        for parameter in self.parameters:
            parameter.data = parameter.data[:count]
        self._transposed = self.weight.data.mT
        self._row = None if self.bias is None else self.bias.data.unsqueeze(1)
        self._ones = self.weight.data.new_ones(count, 1, 1)

    def write(self, client: int, vector: torch.Tensor) -> None:
        """Write a client's weights into its flat vector."""
        for tensor, part in zip(self._all, self.slices, strict=True):
            vector[part].view(tensor.shape[1:]).copy_(tensor[client])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (K, B, out) of inputs (K, B, in)."""
        self._inputs = inputs
        if self._row is None:
            return torch.bmm(inputs, self._transposed)
        return torch.baddbmm(self._row, inputs, self._transposed)

    def input_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the loss's gradient in the inputs, (K, B, in), from that in the outputs."""
        return torch.bmm(gradient, self.weight)

    def store(self, gradient: torch.Tensor) -> None:
        """Write the gradients of weight and bias into their ``grad``."""
        self.weight.grad = torch.bmm(gradient.mT, self._inputs)
        if self.bias is not None:
            self.bias.grad = gradient.sum(1)

    def descend(self, gradient: torch.Tensor, rate: float) -> None:
        """Take a step of gradient descent, without writing the gradient to memory."""
        self.weight.baddbmm_(gradient.mT, self._inputs, alpha=-rate)
        if self._row is not None:
            ones = self._ones.expand(-1, 1, gradient.shape[1])
            self._row.baddbmm_(ones, gradient, alpha=-rate)


class DelayedLinear(StackedLinear):
    """K linear layers whose steps of gradient descent are taken many at a time.

    With W the weights before a run of steps, step t's outputs are

        x_t W_tᵀ + b_t = x_t Wᵀ + b − lr Σ_{s<t} (x_t x_sᵀ + 1) δ_s

    for the inputs x and the outputs' gradients δ. All x of a first layer are known beforehand, so
    that one product serves the whole run, one more takes all its steps at the end, and weights go
    through the cache twice a run instead of twice a step. The rest is a product of the size of the
    steps' examples.
    """

    def look_ahead(self, inputs: torch.Tensor, rate: float) -> None:
        """Begin a run of steps.

        Args:
            inputs: (K, n, in) the examples of all its steps, one step's after the other's.
            rate: The learning rate.
        """
        self._run, self._rate, self._taken = inputs, rate, 0
        self._ahead = super().forward(inputs)
        self._products = torch.bmm(inputs, inputs.mT)
        if self._row is not None:
            self._products += 1
        self._gradients = torch.empty_like(self._ahead)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (K, B, out) of inputs (K, B, in), the run's next."""
        start, stop = self._taken, self._taken + inputs.shape[1]
        outputs = self._ahead[:, start:stop]
        if start == 0:
            return outputs
        products, before = self._products[:, start:stop, :start], self._gradients[:, :start]
        return torch.baddbmm(outputs, products, before, alpha=-self._rate)

    def descend(self, gradient: torch.Tensor, rate: float) -> None:
        """Note a step of gradient descent; after the run's last one, take all."""
        start, stop = self._taken, self._taken + gradient.shape[1]
        self._gradients[:, start:stop] = gradient
        self._taken = stop
        if stop == self._run.shape[1]:
            self._inputs = self._run
            super().descend(self._gradients, rate)


class StackedActivation:
    """An activation function; it needs its output only."""

    def __init__(self, kind: type[nn.Module]) -> None:
        self._function, self._backward = ACTIVATIONS[kind]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply the function in place."""
        self._outputs = self._function(inputs)
        return self._outputs

    def input_gradient(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the loss's gradient in the inputs from that in the outputs."""
        return self._backward(gradient, self._outputs)


class StackedChain:
    """The dense networks of K clients.

    Attributes:
        layers: From input to output.
        linear: The linear ones among them.
    """

    def __init__(
        self,
        chain: Sequence[tuple[str, nn.Module]],
        layout: Layout,
        vectors: Sequence[torch.Tensor],
        is_delayed: bool = False,
    ) -> None:
        """Stack the clients' flat vectors layer by layer.

        Args:
            chain: The layers.
            layout: Where their weights stand in a flat vector.
            vectors: Each client's, (``layout.size``,).
            is_delayed: Whether the first layer takes the steps of a run at its end.
        """
        entries = {entry.name: entry for entry in layout.entries}
        self.layers: list[StackedLinear | StackedActivation] = []
        for name, layer in chain:
            if not isinstance(layer, nn.Linear):
                self.layers.append(StackedActivation(type(layer)))
                continue
            own = [entries[f"{name}.{part}"] for part, _ in layer.named_parameters()]
            tensors = [
                torch.stack([vector[e.start : e.stop].view(e.shape) for vector in vectors])
                for e in own
            ]
            kind = DelayedLinear if is_delayed and not self.layers else StackedLinear
            self.layers.append(kind(tensors, [slice(e.start, e.stop) for e in own]))
        self.linear = [layer for layer in self.layers if isinstance(layer, StackedLinear)]

    def look_ahead(self, inputs: torch.Tensor, rate: float) -> None:
        """Tell a first layer that is delayed what a run of steps will ask: (K, n, values)."""
        first = self.layers[0]
        if isinstance(first, DelayedLinear):
            first.look_ahead(inputs, rate)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (K, B, outputs) of inputs (K, B, values)."""
        for layer in self.layers:
            inputs = layer.forward(inputs)
        return inputs

    def backward(
        self, gradient: torch.Tensor, visit: Callable[[StackedLinear, torch.Tensor], None]
    ) -> None:
        """Carry the loss's gradient back; ``visit`` gets each linear layer with its outputs' one.

        A layer has been asked for its inputs' gradient when it is visited, and may change.
        """
        for layer in reversed(self.layers):
            before = layer.input_gradient(gradient) if layer is not self.layers[0] else gradient
            if isinstance(layer, StackedLinear):
                visit(layer, gradient)
            gradient = before

    def keep(self, count: int) -> None:
        """Go on with the first ``count`` clients only."""
        for layer in self.linear:
            layer.keep(count)

    def write(self, client: int, vector: torch.Tensor) -> None:
        """Write a client's weights into its flat vector, also of one that was not kept to the end.

        What these layers do not hold stays as it is.

        Args:
            client: Its place in the stack.
            vector: (size,).
        """
        for layer in self.linear:
            layer.write(client, vector)
