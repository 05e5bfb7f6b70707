"""Random brightness, contrast and saturation."""

from __future__ import annotations

import torch
from pydantic import Field

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.data.transforms import grey
from fedlab.registry import augmentations


@augmentations.register("colour-jitter")
class ColourJitter(Change):
    """Changes brightness, contrast and, of coloured pictures, saturation; greys some of them."""

    class Settings(ChangeSettings):
        """Settings of colour jitter."""

        brightness: float = Field(0.4, ge=0, le=1, description="b: a factor from 1 − b to 1 + b")
        contrast: float = Field(0.4, ge=0, le=1, description="c: a factor from 1 − c to 1 + c")
        saturation: float = Field(0.4, ge=0, le=1, description="s: a factor from 1 − s to 1 + s")
        chance: float = Field(0.8, ge=0, le=1, description="share of pictures that are changed")
        grey: float = Field(
            0.2, ge=0, le=1, description="share of coloured pictures that become grey"
        )

    settings: Settings

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the changed pictures, in the range 0..1; brightness first, saturation last."""
        settings, drawn = self.settings, torch.rand(len(inputs), 5, generator=generator)
        drawn = drawn.to(inputs.device)
        is_changed = (drawn[:, 0] < settings.chance).float()
        strengths = (settings.brightness, settings.contrast, settings.saturation)
        brightness, contrast, saturation = (
            (1 + is_changed * strength * (2 * drawn[:, k] - 1))[:, None, None, None]
            for k, strength in enumerate(strengths, 1)
        )
        changed = (inputs * brightness).clamp(0, 1)
        is_coloured = inputs.shape[1] == 3
        mean = (grey(changed) if is_coloured else changed).mean((1, 2, 3), keepdim=True)
        changed = (mean + contrast * (changed - mean)).clamp(0, 1)
        if is_coloured:
            pale = grey(changed)
            changed = (pale + saturation * (changed - pale)).clamp(0, 1)
            becomes_grey = (drawn[:, 4] < settings.grey)[:, None, None, None]
            changed = torch.where(becomes_grey, grey(changed).expand_as(changed), changed)
        return changed, targets
