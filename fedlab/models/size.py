"""How large a model is, before any of its weights is allocated."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import nn

from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.models.backbone import BackboneSettings
from fedlab.models.network import bare_module, module_and_stages
from fedlab.models.selection import BatchNorm
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


@dataclass(frozen=True)
class Cost:
    """What a model takes, by its shape alone.

    Attributes:
        operations: Floating-point operations of one example's forward pass; 0 where unknown.
        stages: Blocks that can be trained by themselves.
        is_transformer: Whether it attends.
        has_batch_norm: Whether it keeps statistics of batches.
    """

    operations: float
    stages: int
    is_transformer: bool
    has_batch_norm: bool


def cost_of(settings: ModelSettings, task: Task) -> Cost:
    """Return what a model takes, without weights or memory.

    Raises:
        FedlabError: If the model does not fit the task.
    """
    with torch.device("meta"):
        module, stages = module_and_stages(settings.model_copy(update={"pretrained": False}), task)
    attends = any(re.search(r"\battn?\b|attention", name) for name, _ in module.named_modules())
    normalises = any(isinstance(m, BatchNorm) for m in module.modules())
    return Cost(_operations(module, task), len(stages), attends, normalises)


def _operations(module: nn.Module, task: Task) -> float:
    """Return the operations of a forward pass; 0 where that cannot be counted.

    Of text models it is two for each weight and token, but for embeddings (Kaplan et al. 2020,
    "Scaling laws for neural language models", section 2.1): they look at values on the way.
    """
    if task.modality == "text":
        embeddings = [m for m in module.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        looked_up = sum(m.weight.numel() for m in embeddings)
        weights = sum(p.numel() for p in module.parameters()) - looked_up
        return 2.0 * weights * task.input_shape[0]
    # It imports a compiler of kernels, where there is one, which no run needs.
    from torch.utils.flop_counter import FlopCounterMode

    inputs = torch.zeros((1, *task.input_shape), device="meta")
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.eval()(inputs)
    except Exception:  # whatever a model does that has no meaning without values
        return 0.0
    return float(counter.get_total_flops())


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
