"""A small Vision Transformer."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.models.settings import ModelSettings
from fedlab.models.zoo.contract import ZooModel
from fedlab.registry import models


@models.register("vit")
class VisionTransformer(ZooModel):
    """Vision Transformer: patches as tokens, pre-norm encoder blocks, class token or mean.

    ``drop_path`` rises linearly from 0 in the first block to the given rate in the last one.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021; stochastic depth after
    Huang et al., ECCV 2016.
    """

    kinds: ClassVar[tuple[str, ...]] = (*ZooModel.kinds, "masked-patches")
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)
    has_drop_path: ClassVar[bool] = True
    can_be_stacked: ClassVar[bool] = True

    class Settings(ModelSettings):
        """Settings of the Vision Transformer."""

        patch_size: int = Field(4, ge=1, le=256, description="side of a patch in pixels")
        width: int = Field(64, ge=1, le=16384, description="size of a patch's vector")
        depth: int = Field(4, ge=1, le=128, description="number of encoder blocks")
        heads: int = Field(4, ge=1, le=256, description="attention heads; they share the width")
        mlp_ratio: float = Field(
            2.0, gt=0, le=16, description="hidden units of a block's MLP, as a multiple of width"
        )
        class_token: bool = Field(
            True, description="classify a token of its own; false: the mean of the patches"
        )

    def __init__(self, settings: Settings, task: Task) -> None:
        # timm takes seconds to import, and the other models of the zoo do without it.
        from timm.layers.patch_embed import PatchEmbed
        from timm.models.vision_transformer import Block

        super().__init__(settings, task)
        channels, height, width = task.input_shape
        _check(settings, height, width)
        _check_patches(settings, task)
        size = settings.width
        self.patch_embedding = PatchEmbed((height, width), settings.patch_size, channels, size)
        tokens = self.patch_embedding.num_patches + int(settings.class_token)
        self.class_token = nn.Parameter(torch.zeros(1, 1, size)) if settings.class_token else None
        self.positions = nn.Parameter(torch.empty(1, tokens, size))
        rates = torch.linspace(0, settings.drop_path, settings.depth, device="cpu").tolist()
        self.blocks = nn.Sequential(
            *(
                Block(size, settings.heads, settings.mlp_ratio, qkv_bias=True, drop_path=rate)
                for rate in rates
            )
        )
        self.norm = nn.LayerNorm(size)
        self.head = nn.Linear(size, task.outputs)
        self.stages = (
            "patch_embedding",
            *(f"blocks.{number}" for number in range(settings.depth)),
        )
        self._every_patch = task.masking is not None
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.positions, std=0.02)
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (N, outputs), of pictures (N, C, H, W).

        Of every patch, (N, patches, outputs), row by row, where patches were hidden.
        """
        tokens = self.patch_embedding(inputs)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = self.norm(self.blocks(tokens + self.positions))
        if self._every_patch:
            patches = tokens if self.class_token is None else tokens[:, 1:]
            found: torch.Tensor = self.head(self.dropout(patches))
            return found
        features = tokens.mean(1) if self.class_token is None else tokens[:, 0]
        outputs: torch.Tensor = self.head(self.dropout(features))
        return outputs


def _check(settings: VisionTransformer.Settings, height: int, width: int) -> None:
    patch = settings.patch_size
    if height % patch or width % patch:
        raise FedlabError(
            f"model.patch_size: patches of {patch}×{patch} pixels do not tile pictures of "
            f"{height}×{width}; take a divisor of both sides"
        )
    if settings.width % settings.heads:
        raise FedlabError(
            f"model.heads: {settings.heads} heads cannot share model.width = {settings.width} "
            "evenly; take a divisor of the width"
        )


def _check_patches(settings: VisionTransformer.Settings, task: Task) -> None:
    masking = task.masking
    if masking is not None and masking.patch_size != settings.patch_size:
        raise FedlabError(
            f"client.patch_size: patches of {masking.patch_size}×{masking.patch_size} pixels are "
            f"hidden, and those of the model have {settings.patch_size}×{settings.patch_size} "
            "(model.patch_size); make them the same"
        )
