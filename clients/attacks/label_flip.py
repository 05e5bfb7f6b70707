"""Label flipping: malicious clients train on wrong labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field, model_validator

from fedlab.algorithm.setup import Setup
from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.data.dataset import Examples, Task
from fedlab.registry import attacks


class LabelFlipSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "label-flip"."""

    source: int | None = Field(None, ge=0, description="flip only this class; default: every class")
    target: int | None = Field(None, ge=0, description="the label that ``source`` gets")

    @model_validator(mode="after")
    def _is_a_pair(self) -> LabelFlipSettings:
        if (self.source is None) != (self.target is None):
            raise ValueError("source and target go together; without both, y becomes K − 1 − y")
        return self


@attacks.register("label-flip")
class LabelFlip(Attack):
    """Label flipping: class y becomes K − 1 − y, or one another (Tolpegin et al. 2020, ESORICS).

    The attacker knows its own data only, and trains on them as any client does. All classes are
    mirrored as in Fang et al. 2020 (USENIX Security); ``source`` and ``target`` flip one class, as
    Tolpegin et al. do.
    """

    Settings: ClassVar[type[AttackSettings]] = LabelFlipSettings

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the task has no classes, or lacks these."""
        yield from super().objections(setup)
        task = setup.task
        if task.kind != "classification":
            yield f"attack.name: 'label-flip' needs a classification task, and this is {task.kind}"
            return
        for key in ("source", "target"):
            value = getattr(self.settings, key)
            if value is not None and value >= task.classes:
                yield f"attack.{key}: there is no class {value}; the task has {task.classes}"

    def poisoned(self, examples: Examples, task: Task, generator: torch.Generator) -> Examples:
        """Return the examples with wrong labels."""
        labels, source = examples.targets, self.settings.source
        if source is None:
            flipped = task.classes - 1 - labels
        else:
            flipped = torch.where(labels == source, self.settings.target, labels)
        return Examples(examples.inputs, flipped)
