"""A backbone of each family on the test device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.models.backbones import BackboneSettings
from fedlab.models.network import build_network
from fedlab.models.representation import represented
from tests.models.test_transformers_backbone import network_of, tokens_of
from tests.tiny_bert import tiny_bert

pytestmark = pytest.mark.usefixtures("strict")
PICTURES = Task("classification", "image", (3, 32, 32), 4)
BACKBONES: dict[str, dict[str, Any]] = {
    "ResNet of timm": {"name": "resnet10t"},
    "EfficientNet of timm": {"name": "tf_efficientnet_lite0", "trainable": "last:2"},
    "ConvNeXt of timm": {"name": "convnext_atto", "drop_path": 0.0},
    "Vision Transformer of timm": {"name": "vit_tiny_patch16_224", "blocks": 2, "image_size": 32},
    "ResNet of torchvision": {"name": "torchvision/resnet18", "trainable": "norm+head"},
    "ShuffleNet of torchvision": {"name": "shufflenet_v2_x0_5", "batch_norm": "frozen"},
}


def gradient(network: Any, inputs: torch.Tensor, device: str) -> torch.Tensor:
    """Return the gradient of a loss on the outputs and on what enters the head."""
    network = network.at(torch.device(device))
    network.train_mode()
    outputs, entered = represented(network, inputs.to(device))
    network.model.zero_gradient()
    (torch.logsumexp(outputs, -1).sum() + entered.square().mean()).backward()
    assert {p.device.type for p in network.model.module.parameters()} == {device}
    found: torch.Tensor = network.model.gradient.cpu()
    return found


def check_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert torch.linalg.vector_norm(found - expected) <= 1e-3 * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("keys", BACKBONES.values(), ids=BACKBONES)
def test_a_backbone_of_pictures_has_the_gradient_of_the_cpu(keys: dict[str, Any]) -> None:
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected, found = (
        gradient(build_network(BackboneSettings(**keys), PICTURES, 0), inputs, device)
        for device in ("cpu", "strict")
    )
    check_close(found, expected)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_a_backbone_of_texts_has_the_gradient_of_the_cpu(tmp_path: Path, pooling: str) -> None:
    bert = tiny_bert(tmp_path / "bert")
    keys = {"pooling": pooling, "layer_dropout": 0.0}
    expected, found = (
        gradient(network_of(bert, **keys), tokens_of(bert), device) for device in ("cpu", "strict")
    )
    check_close(found, expected)
