"""Backdoor: pictures with a trigger are misclassified as one class, all others correctly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.attacks.attack import Attack, AttackSettings
from fedlab.data.dataset import Examples, Task
from fedlab.registry import attacks


class BackdoorSettings(AttackSettings):
    """Keys of ``[attack]`` with name = "backdoor"."""

    target: int = Field(
        0, ge=0, description="the class to be predicted for pictures with the trigger"
    )
    poisoned: float = Field(
        0.5,
        gt=0,
        le=1,
        description="fraction of a malicious client's examples that get the trigger",
    )
    size: int = Field(3, ge=1, description="side of the trigger: a bright square, bottom right")
    boost: float = Field(1.0, ge=1, description="γ: factor of the update (model replacement)")


@attacks.register("backdoor")
class Backdoor(Attack):
    """Backdoor: a pixel trigger that means one class, boosted (Bagdasaryan et al. 2020, AISTATS).

    A bright square in the corner of some training pictures, which are given the target class (Gu et
    al. 2017, BadNets); what the client sends is w + γ (trained − w), which for γ = n / η replaces
    the global model (Bagdasaryan et al. 2020, equation 3). The attacker knows its own data only.
    ``attack_success`` is the fraction of test pictures of other classes that are classified as the
    target with the trigger added.
    """

    Settings: ClassVar[type[AttackSettings]] = BackdoorSettings
    changes_inputs: ClassVar[bool] = True
    has_trigger: ClassVar[bool] = True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if the task does not classify pictures, or lacks the class."""
        yield from super().objections(setup)
        task = setup.task
        if task.modality != "image" or task.kind != "classification":
            yield (
                "attack.name: 'backdoor' puts a trigger into pictures that are classified, and "
                f"this is {task.kind} on {task.modality} data"
            )
            return
        if self.settings.target >= task.classes:
            yield (
                f"attack.target: there is no class {self.settings.target}; the task has "
                f"{task.classes}"
            )
        side = min(task.input_shape[1:])
        if self.settings.size > side:
            yield (
                f"attack.size: a trigger of {self.settings.size} pixels does not fit pictures of "
                f"{side}"
            )

    def poisoned(self, examples: Examples, task: Task, generator: torch.Generator) -> Examples:
        """Return the examples, some of them with the trigger and the target class."""
        count = round(self.settings.poisoned * len(examples))
        chosen = torch.randperm(len(examples), generator=generator)[:count]
        inputs, targets = examples.inputs.clone(), examples.targets.clone()
        chosen = chosen.to(inputs.device)
        inputs[chosen] = self.triggered(inputs[chosen])
        targets[chosen] = self.settings.target
        return Examples(inputs, targets)

    def triggered(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (N, C, H, W) pictures with the trigger in them."""
        marked = inputs.clone()
        size = self.settings.size
        marked[..., -size:, -size:] = 255
        return marked

    @property
    def wanted_class(self) -> int:
        """Return the class to be predicted for pictures with the trigger."""
        return int(self.settings.target)

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the weights of the boosted update."""
        boost: float = self.settings.boost
        return received + boost * (trained - received)
