"""Pictures of random colours, for speed alone: nothing can be learned from them."""

from __future__ import annotations

import torch
from pydantic import Field

from fedlab import seeding
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task

CLASSES = 10


class Generated:
    """Pictures of random colours with random classes, of the shape of CIFAR-10's."""

    class Settings(DataSettings):
        """Keys of the generated pictures."""

        name: str = "benchmarks.devices.pictures:Generated"
        pictures: int = Field(10_000, ge=1, description="number of training pictures")
        side: int = Field(32, ge=8, description="side in pixels")

    def __init__(self, settings: Settings) -> None:
        own = type(self).Settings
        self.settings = own(**{name: getattr(settings, name) for name in own.model_fields})

    def load(self, seed: int) -> Dataset:
        """Return bytes (3, side, side) with classes, and 500 pictures to test on."""
        side = self.settings.side
        generator = seeding.torch_generator(seed, "generated pictures")

        def drawn(count: int) -> Examples:
            shape = (count, 3, side, side)
            inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            return Examples(inputs, torch.randint(0, CLASSES, (count,), generator=generator))

        task = Task("classification", "image", (3, side, side), CLASSES)
        return Dataset(task, drawn(self.settings.pictures), drawn(500))
