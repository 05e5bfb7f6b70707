"""Any timm or torchvision model as a backbone with a new head for the task."""

from __future__ import annotations

import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models import timm_backbone, torchvision_backbone
from fedlab.models.backbone import Backbone, BackboneSettings
from fedlab.models.backbone_names import describe, resolved, unknown_model

__all__ = ["Backbone", "BackboneSettings", "describe", "load_backbone", "unknown_model"]


def check_weights(settings: BackboneSettings) -> None:
    """Check that a library's own weights are here, or its hub may be asked for them.

    Raises:
        AssetMissing: If not.
    """
    library = timm_backbone if describe(settings.name) == "timm" else torchvision_backbone
    library.check_hub(settings.name.rpartition("/")[2])


def input_side(name: str) -> int | None:
    """Return the side in pixels of the pictures of a model's pretraining; None of other models."""
    library = describe(name)
    if library is None:
        return None
    about = timm_backbone if library == "timm" else torchvision_backbone
    bare = resolved(name).rpartition("/")[2]
    return int(about.input_side(bare))


def load_backbone(settings: BackboneSettings, task: Task) -> Backbone:
    """Return the model that ``settings`` name, with a new head for the task.

    New weights are drawn from torch's global generator. Pretrained ones come from the library's hub
    (``pretrained = true``), a package ("package"), a file or a run folder; a head of another shape
    is left out of them.

    Raises:
        FedlabError: If model, task, picture size and weights are incompatible, or the weights are
            not available.
    """
    library = describe(settings.name)
    if library is None:
        raise FedlabError(f"model.name: {unknown_model(settings.name)}")
    size = _picture_size(settings, task)
    build = timm_backbone.build if library == "timm" else torchvision_backbone.build
    backbone = build(settings.name.rpartition("/")[2], settings, task, size)
    _check_forward(backbone, settings.name, size, task.outputs)
    return backbone


def _picture_size(settings: BackboneSettings, task: Task) -> tuple[int, int]:
    if task.modality != "image":
        raise FedlabError(
            f"model.name: '{settings.name}' takes pictures, and the data set's inputs are "
            f"{task.modality}; the zoo has models for those, and `fedlab list models` shows them"
        )
    if task.kind not in ("classification", "regression", "self-supervised"):
        raise FedlabError(
            f"model.name: '{settings.name}' serves classification and regression, and the data "
            f"set's task is {task.kind}"
        )
    channels, height, width = task.input_shape
    if channels not in (1, 3):
        raise FedlabError(
            f"model.name: '{settings.name}' takes grey or colour pictures, and the data set's have "
            f"{channels} channels"
        )
    side = settings.image_size
    return (height, width) if side is None else (side, side)


def _check_forward(backbone: Backbone, name: str, size: tuple[int, int], outputs: int) -> None:
    """Apply the model to one black picture, so that an unsupported size is reported early."""
    module: nn.Module = backbone.module
    module.eval()
    reason = ""
    try:
        with torch.no_grad():
            found = module(torch.zeros(1, backbone.channels, *size))
        if not isinstance(found, torch.Tensor) or found.shape != (1, outputs):
            reason = "its outputs are not one number per class"
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).partition("\n")[0]
    if reason:
        raise FedlabError(
            f"model.image_size: '{name}' cannot take pictures of {size[0]}×{size[1]}: {reason}"
        )
    module.train()
