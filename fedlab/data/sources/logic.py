"""Truth tables of two inputs, the classical examples of neural networks."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from fedlab.data.dataset import Dataset, DataSettings, Examples, Task
from fedlab.registry import datasets

_TRUE_FOR = {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "xor": (0, 1, 1, 0)}


@datasets.register("logic")
class Logic:
    """The truth table of AND, OR or XOR: four rows of two inputs, 0 or 1."""

    class Settings(DataSettings):
        """Keys of the logic data set."""

        name: str = "logic"
        function: Literal["and", "or", "xor"] = Field("xor", description="the function to learn")
        task: Literal["regression", "classification", "binary"] = Field(
            "regression",
            description="targets as numbers 0.0 and 1.0; as two classes with an output each; or "
            "as two classes that the sign of one output separates",
        )
        copies: int = Field(
            1, ge=1, le=10**6, description="number of repetitions of the table in the training part"
        )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def load(self, seed: int) -> Dataset:
        """Return the table (4, 2) with targets (4, 1) numbers or (4,) classes; also as test set."""
        settings = self.settings
        inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        targets = torch.tensor(_TRUE_FOR[settings.function])
        if settings.task == "regression":
            targets = targets.float().unsqueeze(1)
            task = Task("regression", "tabular", (2,), 1)
        else:
            outputs = 1 if settings.task == "binary" else 2
            task = Task("classification", "tabular", (2,), outputs, ("false", "true"))
        rows = torch.arange(4).repeat(settings.copies)
        return Dataset(task, Examples(inputs[rows], targets[rows]), Examples(inputs, targets))
