"""From stored inputs to what a model takes, and random augmentation, on whole batches.

torchvision is imported where it is first needed: that takes seconds and memory in every process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, SerializeAsAny

from fedlab.data.augmentation import Change, Changed, ChangeSettings
from fedlab.data.dataset import Modality, Task
from fedlab.errors import FedlabError
from fedlab.registry import augmentations
from fedlab.settings import Settings

Statistics = tuple[float, ...]


@dataclass(frozen=True)
class Preparation:
    """Turns a batch of stored inputs into what the model takes; draws nothing at random.

    Attributes:
        modality: What the inputs are.
        channels: Colour channels that the model takes; 0 keeps those that pictures have.
        image_size: Side of the square that pictures are resized to, or None to keep their size.
        mean, std: Per-channel statistics that pictures are normalised with, of the pretrained
            backbone; None keeps the range 0..1.
    """

    modality: Modality
    channels: int = 0
    image_size: int | None = None
    mean: Statistics | None = None
    std: Statistics | None = None

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, C, H, W) float32 pictures, (N, T) int64 tokens, or float32 numbers as stored.

        Args:
            inputs: As :class:`fedlab.data.dataset.Examples` keeps them.
        """
        if self.modality == "text":
            return inputs.long()
        if self.modality != "image":
            return inputs.float()
        batch = inputs.float()
        if inputs.dtype == torch.uint8:
            batch = batch.mul_(1 / 255)
        # Few channels first: resizing is what costs.
        if self.channels == 1 and batch.shape[1] == 3:
            batch = grey(batch)
        batch = self._resize(batch)
        if self.channels == 3 and batch.shape[1] == 1:
            batch = batch.expand(-1, 3, -1, -1)
        return _normalise(batch, self.mean, self.std)

    def _resize(self, batch: torch.Tensor) -> torch.Tensor:
        size = self.image_size
        if size is None or batch.shape[-2:] == (size, size):
            return batch
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional as pictures

        shrinks = size < max(batch.shape[-2:])
        resized: torch.Tensor = pictures.resize(
            batch, [size, size], InterpolationMode.BICUBIC, antialias=shrinks
        )
        return resized.clamp(0, 1)


def build_preparation(
    task: Task,
    channels: int = 0,
    mean: Statistics | None = None,
    std: Statistics | None = None,
    image_size: int | None = None,
) -> Preparation:
    """Return the preparation of a task's inputs for a model with these needs.

    Raises:
        FedlabError: If pictures cannot be given the channels that the model takes.
    """
    if task.modality == "image" and (task.input_shape[0], channels) not in {
        *((own, wanted) for own in (1, 3) for wanted in (0, 1, 3)),
        (task.input_shape[0], task.input_shape[0]),
    }:
        raise FedlabError(
            f"model.name: the model takes pictures with {channels} channels, and the data set's "
            f"have {task.input_shape[0]}; only grey and colour turn into each other"
        )
    return Preparation(task.modality, channels, image_size, mean, std)


class AugmentationSettings(Settings):
    """Keys of ``[data.augmentation]``: random changes of training batches."""

    crop_padding: int = Field(
        0,
        ge=0,
        le=256,
        description="pad pictures by this many pixels and crop them to their size at random",
    )
    flip: bool = Field(False, description="mirror half of the pictures left to right")
    randaugment: int = Field(
        0, ge=0, le=10, description="random operations a picture (RandAugment, Cubuk et al. 2020)"
    )
    magnitude: int = Field(9, ge=0, le=30, description="strength of RandAugment's operations")
    mixup: float = Field(
        0.0, ge=0, le=10, description="alpha of mixup's Beta distribution (Zhang et al. 2018)"
    )
    further: tuple[SerializeAsAny[ChangeSettings], ...] = Field(
        (), description="further changes after those above, in order, a table with a name each"
    )

    @property
    def changes_nothing(self) -> bool:
        """Return whether every change is switched off, as without the table."""
        return not self.further and not any(self.changes())

    def changes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield key, registered name and settings of each change that the keys ask for, in order.

        Those of ``further`` are not among them.
        """
        if self.crop_padding:
            yield "crop_padding", "crop", {"padding": self.crop_padding}
        if self.flip:
            yield "flip", "flip", {}
        if self.randaugment:
            keys = {"operations": self.randaugment, "magnitude": self.magnitude}
            yield "randaugment", "randaugment", keys
        if self.mixup:
            yield "mixup", "mixup", {"alpha": self.mixup}


def augments(data: Any) -> bool:
    """Return whether the keys of ``[data]`` ask for any random change of batches."""
    settings: AugmentationSettings | None = getattr(data, "augmentation", None)
    return settings is not None and not settings.changes_nothing


@dataclass(frozen=True)
class Augmentation:
    """Changes prepared training batches at random, drawing only from the generator it is given.

    Attributes:
        changes: What is done, in order.
        mean, std: What pictures were normalised with; they are changed in the range 0..1.
    """

    changes: tuple[Change, ...]
    mean: Statistics | None = None
    std: Statistics | None = None

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> Changed:
        """Return the changed inputs and targets; with mixup, classes become (N, classes) shares."""
        is_in_unit_range = False
        for change in self.changes:
            if change.on_pictures and not is_in_unit_range:
                inputs = self._to_unit_range(inputs)
            elif is_in_unit_range and not change.on_pictures:
                inputs = _normalise(inputs, self.mean, self.std)
            is_in_unit_range = change.on_pictures
            inputs, targets = change(inputs, targets, generator)
        return _normalise(inputs, self.mean, self.std) if is_in_unit_range else inputs, targets

    def _to_unit_range(self, batch: torch.Tensor) -> torch.Tensor:
        if self.mean is None or self.std is None:
            return batch
        mean, std = batch.new_tensor(self.mean), batch.new_tensor(self.std)
        return (batch * std[:, None, None] + mean[:, None, None]).clamp(0, 1)


def build_augmentation(
    settings: AugmentationSettings | None,
    task: Task,
    mean: Statistics | None = None,
    std: Statistics | None = None,
) -> Augmentation | None:
    """Return the augmentation, or None where nothing is to be changed.

    Args:
        settings: Keys of ``[data.augmentation]``, or None.
        task: The task; its inputs must suit what is asked for.
        mean, std: What the preparation normalises pictures with.

    Raises:
        FedlabError: If the augmentation does not suit the task.
    """
    if settings is None:
        return None
    changes: list[Change] = []
    for key, name, keys in settings.changes():
        found: type[Change] = augmentations.get(name)
        own = found.Settings(name=name, **keys)
        changes.append(found(own, task, f"data.augmentation.{key}"))
    for number, table in enumerate(settings.further):
        where = f"data.augmentation.further.{number}"
        changes.append(augmentations.get(table.name)(table, task, where))
    return Augmentation(tuple(changes), mean, std) if changes else None


def grey(batch: torch.Tensor) -> torch.Tensor:
    """Return coloured pictures (N, 3, H, W) as grey ones, (N, 1, H, W)."""
    from torchvision.transforms.v2 import functional as pictures

    brightness: torch.Tensor = pictures.rgb_to_grayscale(batch)
    return brightness


def _normalise(
    batch: torch.Tensor, mean: Statistics | None, std: Statistics | None
) -> torch.Tensor:
    """Return (x − mean) / std by channel, or ``batch`` itself where no statistics are given."""
    if mean is None or std is None:
        return batch
    shifted = batch - batch.new_tensor(mean)[:, None, None]
    return shifted.div_(batch.new_tensor(std)[:, None, None])
