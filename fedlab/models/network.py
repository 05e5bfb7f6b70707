"""Building a scenario's network: a zoo model or backbone, with its trained parameters selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from fedlab import registry, seeding
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.adapters.adapt import Adapted, adapt, merged_state
from fedlab.models.building import Built, backbone_of
from fedlab.models.given import Given, give, given_of, takes
from fedlab.models.layout import FlatModel, Layout
from fedlab.models.selection import BatchNorm, Changed, Policy, changed, personal_names, rests
from fedlab.models.settings import ModelSettings
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.models.weight_files import names_in, read_weights
from fedlab.models.weights import fit_adapter, is_of_adapter
from fedlab.settings import Settings


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
        backbone = backbone_of(settings if given is None else _without_files(settings), task)
    module = backbone.module
    if given is not None:
        give(module, given)
    adapted = _adapt(backbone, settings, seed)
    if given is None and _is_from_file(settings):
        _fit_adapter(module, str(settings.pretrained))
    norms: dict[str, nn.Module] = {
        n: m for n, m in module.named_modules() if isinstance(m, BatchNorm)
    }
    earlier = [changed(module, norms, policy, backbone, adapted) for policy in before]
    now = changed(module, norms, settings, backbone, adapted)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in now.parameters)
    frozen = tuple(norm for norm in norms.values() if norm not in now.norms)
    resting = tuple(m for m in module.modules() if rests(m))
    personal = personal_names(module, now.buffers, settings, backbone.head, tuple(norms))
    carried = {n for c in earlier for n in (*c.parameters, *c.buffers)}
    carried -= {*now.parameters, *now.buffers}
    held = adapted.moved if adapted and _reached(adapted, [*earlier, now]) else ()
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


def _adapt(backbone: Built, settings: ModelSettings, seed: int) -> Adapted | None:
    """Put the scenario's adapter into the model, if it has one; all machines draw it alike."""
    if settings.adapter is None:
        return None
    with seeding.scope(seed, "adapter"):
        return adapt(backbone.module, settings.adapter, backbone.head, backbone.stages)


def _fit_adapter(module: nn.Module, source: str) -> None:
    """Give a module what a file holds of an adapter; most hold nothing, and are not read again."""
    if any(map(is_of_adapter, names_in(source))):
        fit_adapter(module, read_weights(source, module.state_dict()), source)


def _reached(adapted: Adapted, changes: Sequence[Changed]) -> bool:
    """Return whether an adapter has been trained, so that the weights under it may have changed."""
    return any(not adapted.parameters.isdisjoint(change.parameters) for change in changes)


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
    built = backbone_of(settings, task)
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
    if _is_from_file(settings) and without_merged(settings).adapter is not None:
        return None  # What is in the file of the adapter goes into a model that has it.
    with seeding.scope(seed, "model"):
        built = backbone_of(settings, task)
    given = given_of(built.module)
    with seeding.scope(seed, "model"):
        bare = backbone_of(_without_files(settings), task)
    alike = replace(bare, module=built.module) == built and takes(bare.module, given)
    return given if alike else None


def _is_from_file(settings: ModelSettings) -> bool:
    """Return whether the first weights are a user's file, or another run's."""
    return isinstance(settings.pretrained, str) and settings.pretrained != "package"


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
