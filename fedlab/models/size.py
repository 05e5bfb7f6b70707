"""How large a model is, before any of its weights is allocated."""

from __future__ import annotations

import torch

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.backbone import BackboneSettings
from fedlab.models.network import bare_module
from fedlab.models.settings import ModelSettings
from fedlab.models.transformers_settings import TransformersSettings

BYTES = 4
"""Of a weight."""
SLOTS = {"sgd": 0, "adam": 2, "adamw": 2, "rmsprop": 1}
"""Vectors that an optimiser keeps beside weights and gradient; momentum is one more."""


def count_parameters(settings: ModelSettings, task: Task) -> int | None:
    """Return the number of a model's parameters, or None where only building it would tell.

    The model is built on torch's meta device, where tensors have shapes and no memory.

    Raises:
        FedlabError: If the model does not fit the task, no computer could hold it, or its
            library's weights cannot be fetched.
    """
    if isinstance(settings, BackboneSettings) and settings.pretrained is True:
        # timm and torchvision take seconds to import.
        from fedlab.models.backbones import check_weights

        check_weights(settings)
    if isinstance(settings, TransformersSettings):
        from fedlab.models import transformers_backbone

        transformers_backbone.check_weights(settings)
    try:
        with torch.device("meta"):
            module = bare_module(settings.model_copy(update={"pretrained": False}), task)
    except FedlabError:
        raise
    except Exception as error:
        # A model of somebody else's may look at its weights while it is built.
        if "overflow" in str(error):
            raise FedlabError(
                f"model: the layers of '{settings.name}' have more weights than can be counted; "
                "take smaller ones"
            ) from error
        return None
    return sum(parameter.numel() for parameter in module.parameters())


def worker_bytes(parameters: int, trainable: object, optimizer: str, momentum: float) -> int:
    """Return the least memory that a worker takes for a model: activations come on top.

    Args:
        parameters: The model's.
        trainable: ``model.trainable``; only of "all" is it known how much is trained.
        optimizer: ``client.optimizer.name``.
        momentum: ``client.optimizer.momentum``.
    """
    trained = parameters if trainable == "all" else 0
    slots = SLOTS.get(optimizer, 0) + (1 if momentum and optimizer in ("sgd", "rmsprop") else 0)
    # Its weights; of those that are trained the gradient, what is sent, and the optimiser's.
    return BYTES * (parameters + trained * (2 + slots))
