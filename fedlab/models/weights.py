"""Fitting weights into a model with a new head."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from fedlab.errors import FedlabError, nearest
from fedlab.models.weight_files import KEY, Weights
from fedlab.registry import adapters


def fit_weights(
    module: nn.Module, weights: Weights, head: str, source: str | Path, optional: Iterable[str] = ()
) -> bool:
    """Copy weights into a module; the head keeps its own if theirs have another shape.

    Args:
        module: The model.
        weights: Tensors by the module's names.
        head: Prefix of the names of the head's tensors.
        source: The source of the weights, for error messages.
        optional: Prefixes of names in ``weights`` that may be unused.

    Returns:
        Whether the head was loaded.

    Raises:
        FedlabError: If any other tensor is missing, unused, of another shape, or holds what no
            weights are.
    """
    own = module.state_dict()
    has_head = all(
        name in weights and weights[name].shape == tensor.shape
        for name, tensor in own.items()
        if name.startswith(head)
    )
    # Older files lack the counters of batches, which are not used.
    wanted = {
        name: tensor
        for name, tensor in own.items()
        if (has_head or not name.startswith(head))
        and (name in weights or not name.endswith("num_batches_tracked"))
    }
    passed_over = (head, *optional)
    given = {
        name: tensor
        for name, tensor in weights.items()
        if name in wanted or not (name.startswith(passed_over) or is_of_adapter(name))
    }
    _check(wanted, given, source)
    module.load_state_dict(given, strict=False)
    return has_head


def is_of_adapter(name: str) -> bool:
    """Return whether a tensor is, by its name, of an adapter that cannot become part of weights.

    They are loaded once the adapter is there, see :func:`fit_adapter`.
    """
    kinds = (adapters.get(own) for own in adapters.names())
    return any(f".{kind.part}." in name for kind in kinds if not kind.merges)


def fit_adapter(module: nn.Module, weights: Weights, source: str | Path) -> None:
    """Copy an adapter's tensors, where there are any, into a module that has such an adapter.

    Args:
        module: The model with its adapter, if it has one.
        weights: Tensors by the module's names; all but an adapter's are passed over.
        source: The source of the weights, for error messages.

    Raises:
        FedlabError: If the module has no such adapter, or one of another size.
    """
    given = {name: tensor for name, tensor in weights.items() if is_of_adapter(name)}
    own = {name: tensor for name, tensor in module.state_dict().items() if is_of_adapter(name)}
    if not given:
        return
    if {n: t.shape for n, t in given.items()} != {n: t.shape for n, t in own.items()}:
        raise FedlabError(
            f"{KEY}: '{source}' is a network with an adapter that is no part of its weights "
            f"('{next(iter(given))}'); give it the table [model.adapter] of the run that it is of"
        )
    module.load_state_dict(given, strict=False)


def _check(wanted: Weights, given: Weights, source: str | Path) -> None:
    problem = ""
    missing = [name for name in wanted if name not in given]
    surplus = [name for name in given if name not in wanted]
    misshapen = [n for n, tensor in wanted.items() if n in given and given[n].shape != tensor.shape]
    unusable = [n for n, tensor in wanted.items() if n in given and _flaw(given[n], tensor)]
    if unusable and not (misshapen or missing or surplus):
        name = unusable[0]
        problem = f"'{name}' {_flaw(given[name], wanted[name])}"
    if misshapen:
        name = misshapen[0]
        problem = f"'{name}' is {_by(given[name])} there and {_by(wanted[name])} here"
    elif missing:
        problem = f"it has no '{missing[0]}'." + nearest(missing[0], surplus)
    elif surplus:
        problem = f"the model has no '{surplus[0]}'"
    if problem:
        count = len(missing) + len(surplus) + len(misshapen) or len(unusable)
        more = f" ({count - 1} more differ)" if count > 1 else ""
        raise FedlabError(f"{KEY}: the weights of '{source}' do not fit the model: {problem}{more}")


def _flaw(given: torch.Tensor, own: torch.Tensor) -> str:
    """Return why a tensor of the right shape cannot be taken as weights, or an empty string."""
    if given.layout != torch.strided or given.is_quantized or given.is_meta:
        return "is a sparse, quantised or empty tensor there"
    if not own.is_floating_point():
        return ""
    if not given.is_floating_point():
        return f"is of {str(given.dtype).removeprefix('torch.')} there, which no weights are"
    return "" if torch.isfinite(given).all() else "holds values there that are no finite numbers"


def _by(tensor: torch.Tensor) -> str:
    return "×".join(str(side) for side in tensor.shape) or "a single number"
