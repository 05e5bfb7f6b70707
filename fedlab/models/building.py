"""A scenario's model as the zoo, timm, torchvision or transformers build it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fedlab import assets, registry
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.projection import put_in_place_of_head
from fedlab.models.settings import ModelSettings
from fedlab.models.transformers_settings import TransformersSettings
from fedlab.models.weight_files import read_weights
from fedlab.models.weights import fit_weights
from fedlab.models.zoo.contract import ZooModel


@dataclass(frozen=True)
class Built:
    """A model as its zoo or library builds it.

    Attributes:
        module: The module.
        head: What the names of its last layer's parameters begin with.
        stages: The prefixes of its blocks from input to output.
        mean: Of the inputs' channels in pretraining, where that is known.
        std: Their deviation.
        channels: How many an input has; 0 where it is no picture, or that is not known.
        name: The model's.
    """

    module: nn.Module
    head: str
    stages: tuple[str, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    channels: int
    name: str


def backbone_of(settings: ModelSettings, task: Task) -> Built:
    """Return the model that a scenario names, with its published weights where it asks for them.

    In self-supervised learning a projection takes the place of its last layer.

    Raises:
        FedlabError: If the model does not fit the task, or its weights are not available.
    """
    built = _of_library(settings, task)
    if task.projection is not None:
        put_in_place_of_head(built.module, built.head, task.projection, settings.name)
    return built


def _of_library(settings: ModelSettings, task: Task) -> Built:
    models = registry.models
    if isinstance(settings, TransformersSettings):
        from fedlab.models import transformers_backbone

        built = transformers_backbone.build(settings, task)
        return Built(built.module, built.head, built.stages, None, None, 0, settings.name)
    if ":" not in settings.name and settings.name not in models:
        # timm and torchvision take seconds to import.
        from fedlab.models.backbones import BackboneSettings, load_backbone

        assert isinstance(settings, BackboneSettings)
        loaded = load_backbone(settings, task)
        return Built(
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
    return Built(module, "head", tuple(module.stages), None, None, channels, settings.name)


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
