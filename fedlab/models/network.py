"""Building a scenario's network: a zoo model or backbone, with its trained parameters selected."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import nn

from fedlab import assets, registry, seeding
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.adapters.adapt import Adapted, adapt, merged_state
from fedlab.models.given import Given, give, given_of, takes
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.settings import ADAPTER, ModelSettings
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.models.weight_files import read_weights
from fedlab.models.weights import fit_weights
from fedlab.models.zoo.contract import ZooModel
from fedlab.settings import Settings

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
BatchNorm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Network:
    """A model ready for training.

    Attributes:
        model: The module and its flat weights.
        head: Prefix of the head's parameter names.
        mean, std: Per-channel statistics that pictures are normalised with, or None for 0..1.
        channels: Channels of the model's pictures; 0 for other inputs.
        frozen: Modules that stay in evaluation mode while the rest trains (frozen batch norm, and
            frozen parts of a Transformer, which then drop nothing).
        stages: Prefixes of its blocks from input to output, without the head.
        adapted: What its adapter is, if it has one.
    """

    model: FlatModel
    head: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    channels: int
    frozen: tuple[nn.Module, ...]
    stages: tuple[str, ...] = ()
    adapted: Adapted | None = None

    @cached_property
    def depths(self) -> dict[str, int]:
        """Return how far below the head each parameter stands, by name, in stages.

        The head has 0, the last stage 1, the first stage as many as there are stages. What belongs
        to no stage, such as a normalisation between two of them or position embeddings, goes with
        the stage before it in the model's own order, and with the first where none is before it.
        """
        found, depth = {}, len(self.stages)
        for name, _ in self.model.module.named_parameters():
            if name.startswith(self.head):
                found[name] = 0
                continue
            stage = next((s for s in self.stages if name.startswith(f"{s}.")), None)
            if stage is not None:
                depth = len(self.stages) - self.stages.index(stage)
            found[name] = depth
        return found

    @cached_property
    def undecayed(self) -> frozenset[str]:
        """Return the names of parameters that usual recipes do not decay, as timm has it.

        They are biases and what else has one dimension (scales of normalisations and layers), and
        what the model names itself (position embeddings, class tokens).
        """
        module = self.model.module
        own: set[str] = getattr(module, "no_weight_decay", set)()
        return frozenset(
            name
            for name, parameter in module.named_parameters()
            if parameter.ndim <= 1 or name.endswith(".bias") or name in own
        )

    def at(self, device: torch.device) -> Network:
        """Return the network on a device; this one is not to be used any more."""
        return replace(self, model=self.model.at(device))

    def train_mode(self) -> None:
        """Put the module in training mode, except its frozen modules."""
        self.model.module.train()
        for module in self.frozen:
            module.eval()

    def evaluation_mode(self) -> None:
        """Put the whole module in evaluation mode."""
        self.model.module.eval()


class Policy(Protocol):
    """What a phase of a run trains: two keys of ``[model]``."""

    @property
    def trainable(self) -> str | tuple[str, ...]: ...  # noqa: D102

    @property
    def batch_norm(self) -> str: ...  # noqa: D102


def build_network(
    settings: ModelSettings,
    task: Task,
    seed: int,
    before: Sequence[Policy] = (),
    given: Given | None = None,
) -> Network:
    """Return the scenario's network, its new weights drawn from ``seed``.

    Args:
        settings: Keys of ``[model]``.
        task: What is learned.
        seed: The scenario's.
        before: What earlier phases of the run trained, which travels with the rest.
        given: Its first weights, in place of files; see :func:`first_weights`.

    Raises:
        FedlabError: If the model does not fit the task, or its weights are not available.
    """
    with seeding.scope(seed, "model"):
        backbone = _backbone(settings if given is None else _without_files(settings), task)
    module = backbone.module
    if given is not None:
        give(module, given)
    adapted = _adapt(backbone, settings, seed)
    norms: dict[str, nn.Module] = {
        n: m for n, m in module.named_modules() if isinstance(m, BatchNorm)
    }
    earlier = [_changed(module, norms, policy, backbone, adapted) for policy in before]
    now = _changed(module, norms, settings, backbone, adapted)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in now.parameters)
    frozen = tuple(norm for norm in norms.values() if norm not in now.norms)
    resting = tuple(m for m in module.modules() if _rests(m))
    personal = _personal(module, now.buffers, settings, backbone.head, tuple(norms))
    carried = {n for c in earlier for n in (*c.parameters, *c.buffers)}
    carried -= {*now.parameters, *now.buffers}
    held = adapted.moved if adapted else ()
    layout = Layout.of(module, now.buffers, lambda name: name in personal, carried, held)
    if layout.trained.start == layout.trained.stop:
        raise FedlabError("model.trainable: nothing of this model would be trained")
    if layout.wire_size == 0 and settings.personal != "all":
        raise FedlabError(
            "model.trainable: nothing of this model would be trained and travel, as all that is "
            "trained stays on its client (model.personal, model.batch_norm)"
        )
    model = FlatModel(module, layout)
    return Network(
        model,
        backbone.head,
        backbone.mean,
        backbone.std,
        backbone.channels,
        frozen + resting,
        backbone.stages,
        adapted,
    )


def _adapt(backbone: _Built, settings: ModelSettings, seed: int) -> Adapted | None:
    """Put the scenario's adapter into the model, if it has one; all machines draw it alike."""
    if settings.adapter is None:
        return None
    with seeding.scope(seed, "adapter"):
        return adapt(backbone.module, settings.adapter, backbone.head)


def bare_module(settings: ModelSettings, task: Task) -> nn.Module:
    """Return a scenario's module as its zoo or library builds it.

    Raises:
        FedlabError: If the model does not fit the task, or its weights are not available.
    """
    return module_and_stages(settings, task)[0]


def module_and_stages(settings: ModelSettings, task: Task) -> tuple[nn.Module, tuple[str, ...]]:
    """Return a scenario's module, and the prefixes of its blocks from input to output.

    Raises:
        FedlabError: As in :func:`bare_module`.
    """
    built = _backbone(settings, task)
    return built.module, built.stages


def first_weights(settings: ModelSettings, task: Task, seed: int) -> list[Given | None]:
    """Return the first weights of a scenario's model and of ``model.others``, to travel.

    None stands for weights that are drawn, which every machine draws alike, and for models of which
    files say more than the weights (transformers): each machine needs those.

    Raises:
        FedlabError: As in :func:`build_network`.
    """
    return [_first_weights(own, task, seed) for own in (settings, *settings.others)]


def _first_weights(settings: Settings, task: Task, seed: int) -> Given | None:
    assert isinstance(settings, ModelSettings)
    if not settings.pretrained or isinstance(settings, TransformersSettings):
        return None
    with seeding.scope(seed, "model"):
        built = _backbone(settings, task)
    given = given_of(built.module)
    with seeding.scope(seed, "model"):
        bare = _backbone(_without_files(settings), task)
    alike = replace(bare, module=built.module) == built and takes(bare.module, given)
    return given if alike else None


def _without_files(settings: ModelSettings) -> ModelSettings:
    bare = settings.model_copy(update={"pretrained": False})
    assert isinstance(bare, ModelSettings)
    return bare


def other_networks(
    settings: ModelSettings, task: Task, seed: int, given: Sequence[Given | None] = ()
) -> list[Network]:
    """Return the networks of ``model.others``, none of whose weights travel.

    Args:
        settings: Keys of ``[model]``.
        task: What is learned.
        seed: The scenario's.
        given: The first weights of each, as in :func:`build_network`.

    Raises:
        FedlabError: As in :func:`build_network`, naming the key of the invalid model.
    """
    networks = []
    for number, other in enumerate(settings.others):
        whole = other.model_copy(update={"personal": "all"})
        assert isinstance(whole, ModelSettings)
        try:
            own = given[number] if given else None
            networks.append(build_network(whole, task, seed, given=own))
        except FedlabError as error:
            reason = str(error).removeprefix("model.")
            raise FedlabError(f"model.others.{number}.{reason}") from error
    return networks


@dataclass(frozen=True)
class _Built:
    module: nn.Module
    head: str
    stages: tuple[str, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    channels: int
    name: str


def _backbone(settings: ModelSettings, task: Task) -> _Built:
    models = registry.models
    if isinstance(settings, TransformersSettings):
        from fedlab.models import transformers_backbone

        built = transformers_backbone.build(settings, task)
        return _Built(built.module, built.head, built.stages, None, None, 0, settings.name)
    if ":" not in settings.name and settings.name not in models:
        # timm and torchvision take seconds to import.
        from fedlab.models.backbones import BackboneSettings, load_backbone

        assert isinstance(settings, BackboneSettings)
        loaded = load_backbone(settings, task)
        return _Built(
            loaded.module,
            loaded.head,
            loaded.stages,
            loaded.mean,
            loaded.std,
            loaded.channels,
            settings.name,
        )
    module = models.get(settings.name)(settings, task)
    if settings.pretrained:
        _load_zoo_weights(module, settings)
    channels = task.input_shape[0] if task.modality == "image" else 0
    return _Built(module, "head", tuple(module.stages), None, None, channels, settings.name)


def _load_zoo_weights(module: ZooModel, settings: ModelSettings) -> None:
    """Load a zoo model's weights from its package, a file or a run folder."""
    source = settings.pretrained
    if source == "package" and module.packaged is not None:
        source = str(assets.weights(module.packaged))
    elif source is True or source == "package":
        asked = "true" if source is True else "'package'"
        raise FedlabError(
            f"model.pretrained: there are no published weights of the zoo's '{settings.name}' for "
            f"{asked}; a weights file or a run folder goes here, or false"
        )
    weights = module.adapted(read_weights(str(source), module.state_dict()))
    fit_weights(module, weights, "head", str(source))


@dataclass(frozen=True)
class _Changed:
    """What training changes: names of parameters and buffers, and the batch norms among them."""

    parameters: frozenset[str]
    buffers: list[str]
    norms: tuple[nn.Module, ...]


def _rests(module: nn.Module) -> bool:
    """Return whether a module says that it drops nothing while it is frozen, and is."""
    rests = getattr(module, "rests_when_frozen", False)
    return bool(rests) and not any(p.requires_grad for p in module.parameters())


def _changed(
    module: nn.Module,
    norms: dict[str, nn.Module],
    policy: Policy,
    backbone: _Built,
    adapted: Adapted | None,
) -> _Changed:
    """Return what a policy lets training change."""
    trained = _trained(module, policy.trainable, backbone, adapted)

    def is_trained(name: str, norm: nn.Module) -> bool:
        own = [f"{name}.{parameter}" for parameter, _ in norm.named_parameters(recurse=False)]
        return not own or any(parameter in trained for parameter in own)

    moving = {
        name: norm
        for name, norm in norms.items()
        if policy.batch_norm != "frozen" and is_trained(name, norm)
    }
    buffers = [
        f"{name}.{buffer}"
        for name, norm in moving.items()
        for buffer in ("running_mean", "running_var")
        if getattr(norm, buffer) is not None
    ]
    return _Changed(trained, buffers, tuple(moving.values()))


def _trained(
    module: nn.Module,
    wanted: str | tuple[str, ...],
    backbone: _Built,
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
    module: nn.Module, names: list[str], wanted: str | tuple[str, ...], backbone: _Built
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


def _personal(
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


@torch.no_grad()
def load_state(network: Network, state: Mapping[str, torch.Tensor]) -> None:
    """Give a network the tensors of another of the same module, whatever either of them trains.

    A client's own part begins from them, too.

    Args:
        network: The network.
        state: As :func:`whole_state` returns it.
    """
    model = network.model
    model.module.load_state_dict(dict(state))
    model.initial.copy_(model.weights[: model.layout.wire.start])


def usable_state(network: Network, wire: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the state dict with the given wire weights as any program can use it.

    An adapter that can be is part of the layers' weights, under the names of the bare model.
    """
    if network.adapted is None or not network.adapted.adapter.merges:
        return whole_state(network, wire)
    network.model.reset(wire)
    state = merged_state(network.model.module)
    return {n: t.clone(memory_format=torch.contiguous_format) for n, t in state.items()}


def without_merged(settings: ModelSettings) -> ModelSettings:
    """Return the settings of the model whose state :func:`usable_state` returns."""
    if settings.adapter is None or not registry.adapters.get(settings.adapter.name).merges:
        return settings
    bare = settings.model_copy(update={"adapter": None, "trainable": "all", "personal": "none"})
    assert isinstance(bare, ModelSettings)
    return bare


def whole_state(network: Network, wire: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the module's state dict with the given wire weights, for ``model.safetensors``."""
    network.model.reset(wire)
    state = network.model.module.state_dict()
    return {n: t.detach().clone(memory_format=torch.contiguous_format) for n, t in state.items()}
