"""MNIST, USPS and scikit-learn's digits as one federation: each is a domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from pydantic import Field, field_validator

from fedlab import registry
from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.data.federation import some_of
from fedlab.data.transforms import Preparation
from fedlab.registry import datasets
from fedlab.settings import FilePath

Domain = Literal["mnist", "usps", "digits"]
ROWS_AT_ONCE = 1024


@datasets.register("digit-domains")
class DigitDomains:
    """Handwritten digits of several domains, MNIST, USPS and scikit-learn's, at one size.

    The domains are the natural clients of the training part and the sites of the test part, which
    is made of the domains' own test parts. All have the same ten classes, white on black. USPS is
    found as the data set "usps" finds it.
    """

    class Settings(DataSettings):
        """Keys of the digit domains."""

        name: str = "digit-domains"
        domains: tuple[Domain, ...] = Field(
            ("mnist", "usps", "digits"), min_length=1, description="which domains, in this order"
        )
        image_size: int = Field(
            16, ge=8, le=64, description="side of all pictures, resized (bicubic, antialiased)"
        )
        domain_examples: int | None = Field(
            None, ge=1, description="how many training examples of a domain at most; default: all"
        )
        path: FilePath | None = Field(None, description="usps.h5; default: in FEDLAB_DATA")

        @field_validator("domains")
        @classmethod
        def _each_once(cls, domains: tuple[Domain, ...]) -> tuple[Domain, ...]:
            if len(set(domains)) < len(domains):
                raise ValueError("a domain is named twice; name each once")
            return domains

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return uint8 pictures (N, 1, S, S) with the domains as groups.

        Raises:
            FedlabError: If the files of a domain are missing.
        """
        names, size = self.settings.domains, self.settings.image_size
        found = [self._domain(name, seed) for name in names]
        train = [
            some_of(d.train, self.settings.domain_examples, seed, "domain examples", name)
            for d, name in zip(found, names, strict=True)
        ]
        task = Task("classification", "image", (1, size, size), 10, found[0].task.labels)
        return Dataset(
            task, _joined(train, names, size), _joined([d.test for d in found], names, size)
        )

    def _domain(self, name: str, seed: int) -> Dataset:
        source = registry.datasets.get(name)
        keys = {"path": self.settings.path} if name == "usps" else {}
        dataset: Dataset = source(source.Settings(name=name, **keys)).load(seed)
        return dataset


def _joined(parts: Sequence[Examples], names: tuple[str, ...], size: int) -> Examples:
    """Return the examples of all domains, one domain after the other, as groups."""
    inputs = torch.cat([_resized(part.inputs, size) for part in parts])
    groups = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Examples(inputs, torch.cat([part.targets for part in parts]), groups, names)


def _resized(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Return uint8 pictures (N, 1, H, W) as (N, 1, size, size), by what resizes them for models."""
    prepare = Preparation("image", image_size=size)
    blocks = [
        prepare(block).mul_(255).round_().byte() for block in torch.split(pictures, ROWS_AT_ONCE)
    ]
    return torch.cat(blocks)
