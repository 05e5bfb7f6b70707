"""Cutting a network in two: a frozen prefix, whose outputs never change, and what is trained.

The network's forward pass is traced down to modules that are wholly trained or wholly frozen. What
depends on no trained parameter, on nothing drawn at random and on no statistics still gathered is
the prefix, whatever its depth; one tensor leads from it to the rest.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from fedlab.models.adapters.adapt import is_adapted
from fedlab.models.network import Network
from fedlab.models.selection import BatchNorm

RATES = ("p", "drop_prob", "dropout")
"""Where modules of torch, timm and torchvision keep the rate at which they drop."""


class CannotSplit(Exception):
    """Why a network cannot be cut."""


@dataclass(frozen=True)
class Split:
    """A network in two parts; together they are the network.

    Attributes:
        prefix: From prepared inputs (N, ...) to features (N, ...).
        rest: From features to outputs; it shares the network's parameters.
    """

    prefix: nn.Module
    rest: nn.Module


class _Tracer(fx.Tracer):
    """Traces down to modules that are wholly trained or wholly frozen.

    Args:
        trained: The identities of what training changes.
        whole: Modules that are not looked into.
    """

    def __init__(self, trained: set[int], whole: Collection[nn.Module] = ()) -> None:
        super().__init__()
        self._trained = trained
        self._whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether to look no deeper."""
        if m in self._whole:
            return True
        kinds = {id(parameter) in self._trained for parameter in m.parameters()}
        return len(kinds) <= 1 or super().is_leaf_module(m, module_qualified_name)


def split(network: Network, sample: torch.Tensor) -> Split:
    """Return the two parts of a network.

    Args:
        network: The network.
        sample: (N, ...) prepared inputs, two or more, on which both ways are compared.

    Raises:
        CannotSplit: If there is nothing to cut off, or no place to cut.
    """
    module = network.model.module
    trained = _changing(network)
    module.train()
    try:
        graph = _Tracer(trained, _adapted(network)).trace(module, concrete_args=_defaults(module))
    except Exception as error:
        raise CannotSplit(f"its forward pass cannot be traced ({type(error).__name__})") from error
    _let_dropout_end(module, graph)
    late = _late(graph, network, trained)
    constant = _constant(graph)
    cut = _cut(graph, late, constant)
    parts = Split(
        _without_dead_code(module, _prefix(graph, late, cut)),
        _without_dead_code(module, _rest(graph, late | constant, cut)),
    )
    _compare(network, parts, sample)
    return parts


def _adapted(network: Network) -> set[nn.Module]:
    """Return the layers that an adapter works on, and the blocks that such a layer is in.

    A residual connection leads around the layer, so that several tensors would lead into a block.
    """
    module = network.model.module
    layers = {m for m in module.modules() if is_adapted(m)}
    blocks = (module.get_submodule(name) for name in network.stages)
    return layers | {block for block in blocks if not layers.isdisjoint(block.modules())}


def _let_dropout_end(module: nn.Module, graph: fx.Graph) -> None:
    """Put modules in the place of calls of dropout, in which the trace wrote down "training".

    A module follows the mode of the network that it is added to.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not nn.functional.dropout:
            continue
        bound = inspect.signature(nn.functional.dropout).bind(*node.args, **node.kwargs)
        bound.apply_defaults()
        if bound.arguments["training"] is not True:
            continue
        name = f"{node.name}_of_the_trace"
        module.add_module(name, nn.Dropout(bound.arguments["p"]))
        with graph.inserting_after(node):
            instead = graph.call_module(name, (node.args[0],))
        node.replace_all_uses_with(instead)
        graph.erase_node(node)


def _changing(network: Network) -> set[int]:
    """Return the parameters and buffers that training changes, or that an earlier phase did."""
    module = network.model.module
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {id(tensors[entry.name]) for entry in network.model.layout.entries}


def _defaults(module: nn.Module) -> dict[str, Any]:
    """Return the forward pass's optional arguments, which nobody sets."""
    parameters = inspect.signature(module.forward).parameters.items()
    return {n: p.default for n, p in parameters if p.default is not inspect.Parameter.empty}


def _late(graph: fx.Graph, network: Network, trained: set[int]) -> set[fx.Node]:
    """Return the nodes whose value changes in training, or is drawn at random."""
    module = network.model.module
    late: set[fx.Node] = set()
    for node in graph.nodes:
        name = str(node.target)
        changes = any(source in late for source in node.all_input_nodes)
        if node.op == "call_module":
            part = module.get_submodule(name)
            held = (*part.parameters(), *part.buffers())
            changes |= any(id(tensor) in trained for tensor in held)
            resting = any(inner in network.frozen for inner in _above(module, name))
            changes |= not resting and any(_is_restless(m, network) for m in part.modules())
        elif node.op == "get_attr":
            changes |= id(_attribute(module, name)) in trained
        elif node.op == "call_function":
            changes |= "dropout" in name
        if changes:
            late.add(node)
    return late


def _is_restless(module: nn.Module, network: Network) -> bool:
    """Return whether a module without trained parameters draws at random or gathers statistics."""
    if isinstance(module, BatchNorm):
        return module not in network.frozen
    rates = [getattr(module, name, 0) for name in RATES]
    return any(isinstance(rate, int | float) and rate > 0 for rate in rates)


def _above(module: nn.Module, name: str) -> Iterator[nn.Module]:
    """Yield a part of a module and the parts that it is in, from the inside."""
    while name:
        yield module.get_submodule(name)
        name = name.rpartition(".")[0]


def _attribute(module: nn.Module, name: str) -> Any:
    owner, _, last = name.rpartition(".")
    return getattr(module.get_submodule(owner), last)


def _constant(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose value does not depend on the inputs, but for the output."""
    varying: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(s in varying for s in node.all_input_nodes):
            varying.add(node)
    return set(graph.nodes) - varying


def _cut(graph: fx.Graph, late: set[fx.Node], constant: set[fx.Node]) -> fx.Node:
    """Return the one node whose value leads from the prefix to the rest."""
    crossing = {
        source
        for node in graph.nodes
        if node in late
        for source in node.all_input_nodes
        if source not in late and source not in constant
    }
    if len(crossing) != 1:
        raise CannotSplit("several tensors lead from its frozen part to its trained part")
    cut: fx.Node = crossing.pop()
    if cut.op == "placeholder":
        raise CannotSplit("nothing comes before its first layer that is trained or random")
    return cut


def _prefix(graph: fx.Graph, late: set[fx.Node], cut: fx.Node) -> fx.Graph:
    made = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in late and node.op != "output":
            copies[node] = made.node_copy(node, lambda source: copies[source])
    made.output(copies[cut])
    return made


def _rest(graph: fx.Graph, wanted: set[fx.Node], cut: fx.Node) -> fx.Graph:
    made = fx.Graph()
    copies = {cut: made.placeholder("features")}
    for node in graph.nodes:
        if node in wanted:
            copies[node] = made.node_copy(node, lambda source: copies[source])
    return made


def _without_dead_code(module: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    made = fx.GraphModule(module, graph)
    made.graph.eliminate_dead_code()
    made.recompile()
    return made


@torch.no_grad()
def _compare(network: Network, parts: Split, sample: torch.Tensor) -> None:
    """Hold both parts together against the whole on a few inputs."""
    network.evaluation_mode()
    features = parts.prefix(sample)
    if not isinstance(features, torch.Tensor) or len(features) != len(sample):
        raise CannotSplit(
            "what leads from its frozen part to its trained part is not one per input"
        )
    whole = network.model.module(sample)
    together = parts.rest(features)
    if together.shape != whole.shape or not torch.allclose(together, whole, 1e-4, 1e-5):
        raise CannotSplit("its two parts together do not give its outputs")
