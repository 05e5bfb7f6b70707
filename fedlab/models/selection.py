"""Which parameters and statistics of a model training changes, and which stay on their client."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from fedlab.errors import FedlabError
from fedlab.models.adapters.adapt import Adapted
from fedlab.models.building import Built
from fedlab.models.projection import has_projection
from fedlab.models.settings import ADAPTER, ModelSettings

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
BatchNorm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Policy(Protocol):
    """What a phase of a run trains: two keys of ``[model]``."""

    @property
    def trainable(self) -> str | tuple[str, ...]: ...  # noqa: D102

    @property
    def batch_norm(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Changed:
    """What training changes: names of parameters and buffers, and the batch norms among them."""

    parameters: frozenset[str]
    buffers: list[str]
    norms: tuple[nn.Module, ...]


def rests(module: nn.Module) -> bool:
    """Return whether a module says that it drops nothing while it is frozen, and is."""
    wanted = getattr(module, "rests_when_frozen", False)
    return bool(wanted) and not any(p.requires_grad for p in module.parameters())


def changed(
    module: nn.Module,
    norms: dict[str, nn.Module],
    policy: Policy,
    backbone: Built,
    adapted: Adapted | None,
) -> Changed:
    """Return what a policy lets training change."""
    trained = _trained(module, policy.trainable, backbone, adapted)

    def is_trained(name: str, norm: nn.Module) -> bool:
        own = [f"{name}.{parameter}" for parameter, _ in norm.named_parameters(recurse=False)]
        return not own or any(parameter in trained for parameter in own)

    # The batch norm of a projection is as new as the projection, and has nothing to keep.
    new = has_projection(module, backbone.head)
    moving = {
        name: norm
        for name, norm in norms.items()
        if (policy.batch_norm != "frozen" or (new and name.startswith(f"{backbone.head}.")))
        and is_trained(name, norm)
    }
    buffers = [
        f"{name}.{buffer}"
        for name, norm in moving.items()
        for buffer in ("running_mean", "running_var")
        if getattr(norm, buffer) is not None
    ]
    return Changed(trained, buffers, tuple(moving.values()))


def _trained(
    module: nn.Module,
    wanted: str | tuple[str, ...],
    backbone: Built,
    adapted: Adapted | None,
) -> frozenset[str]:
    """Return the names of the parameters that are trained."""
    names = [name for name, _ in module.named_parameters()]
    if adapted is None:
        return _matching(module, names, wanted, backbone)
    if not isinstance(wanted, str):
        return _matching(module, names, wanted, backbone) - adapted.frozen
    own = [name for name in names if name not in adapted.parameters]
    base = _matching(module, own, wanted.removeprefix(ADAPTER), backbone)
    added = adapted.parameters if wanted.startswith(ADAPTER) else frozenset()
    return (base | added) - adapted.frozen


def _matching(
    module: nn.Module, names: list[str], wanted: str | tuple[str, ...], backbone: Built
) -> frozenset[str]:
    """Return those of the parameters that a value of ``trainable`` stands for."""
    head, stages = backbone.head, backbone.stages
    if wanted == "all":
        patterns: tuple[str, ...] = ("*",)
    elif wanted == "head":
        patterns = (f"{head}*",)
    elif wanted == "norm+head":
        norms = [n for n, m in module.named_modules() if n and is_norm(m)]
        patterns = (f"{head}*", *(f"{n}.*" for n in norms))
    elif wanted == "bias+head":
        patterns = (f"{head}*", *(name for name in names if is_bias(name)))
    elif isinstance(wanted, str) and (match := re.fullmatch(r"last:(\d+)", wanted)):
        patterns = (f"{head}*", *(f"{s}.*" for s in _last(stages, int(match[1]), backbone.name)))
    elif isinstance(wanted, str):
        raise FedlabError(
            f"model.trainable: '{wanted}' is none of 'all', 'head', 'last:K', 'norm+head', "
            "'bias+head', nor 'adapter+' and one of these; patterns of parameter names go in a list"
        )
    else:
        patterns = wanted
        _check_patterns("model.trainable", patterns, names)
    return frozenset(n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns))


def personal_names(
    module: nn.Module,
    moving: list[str],
    settings: ModelSettings,
    head: str,
    norms: tuple[str, ...],
) -> frozenset[str]:
    """Return the names of the tensors that never leave their client."""
    names = [*(name for name, _ in module.named_parameters()), *moving]
    local = tuple(f"{name}." for name in norms) if settings.batch_norm == "local" else ()
    wanted = settings.personal
    if isinstance(wanted, tuple):
        _check_patterns("model.personal", wanted, names)
        kept = {n for n in names if any(fnmatch.fnmatchcase(n, p) for p in wanted)}
    else:
        in_head = {name for name in names if name.startswith(head)}
        parts = {"head": in_head, "body": set(names) - in_head, "all": set(names)}
        kept = parts.get(wanted, set())
    return frozenset(kept | {name for name in names if local and name.startswith(local)})


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a normalisation layer; libraries have many of their own."""
    if isinstance(module, _NORMS):
        return True
    own = list(module.parameters(recurse=False))
    named = "norm" in type(module).__name__.lower()
    return named and bool(own) and all(parameter.ndim == 1 for parameter in own)


def is_bias(name: str) -> bool:
    """Return whether a parameter is a bias by its name, as PyTorch and timm give them.

    So are ``bias``, ``bias_ih_l0`` of recurrent layers, ``in_proj_bias`` and ``q_bias`` of
    attention; a table of relative position biases is none.
    """
    last = name.rpartition(".")[2]
    return last == "bias" or last.startswith("bias_") or last.endswith("_bias")


def _last(stages: tuple[str, ...], count: int, name: str) -> tuple[str, ...]:
    if count > len(stages):
        raise FedlabError(
            f"model.trainable: 'last:{count}' asks for more stages than {name} has ({len(stages)})"
        )
    return stages[len(stages) - count :]


def _check_patterns(key: str, patterns: tuple[str, ...], names: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise FedlabError(
                f"{key}: no parameter is called '{pattern}'; the first ones are "
                f"{', '.join(names[:3])}"
            )
