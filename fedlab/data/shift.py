"""The contract of shifts: pictures of different clients differ in rotation, blur, contrast, ...

One that lasts for the whole run is made once, when the data are loaded
(:mod:`fedlab.data.shifted`), so that training, evaluation and every cache see shifted pictures as
if they had been stored so. One that begins, grows or ends is made as examples are looked at
(:mod:`fedlab.data.drift`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, model_validator

from fedlab import registry
from fedlab.data.dataset import Task
from fedlab.errors import FedlabError
from fedlab.settings import Settings

ROWS_AT_ONCE = 1024
Profile = tuple[float | None, ...]
"""How strong each shift is, in the order of the tables; None where it leaves a client alone."""


class ShiftSettings(Settings):
    """Keys that every table of ``[[data.shift]]`` has."""

    name: str
    strengths: tuple[float, ...] = Field(min_length=1, description="clients take them in turn")
    clients: tuple[int | str, ...] = Field(
        (), description="which clients are shifted, by number, name or pattern; default: all"
    )
    first_round: int = Field(
        1, ge=1, description="first round with the shift; before it examples are as stored"
    )
    last_round: int | None = Field(
        None, ge=1, description="last round with the shift; default: the run's last"
    )
    growing_rounds: int = Field(
        1,
        ge=1,
        description="rounds, from first_round on, over which it grows in equal steps to its "
        "strength; 1: it is there at once",
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> ShiftSettings:
        if self.last_round is not None and self.last_round < self.first_round:
            raise ValueError(
                f"last_round = {self.last_round} is before first_round = {self.first_round}; set "
                "it to that or more"
            )
        return self

    @property
    def is_constant(self) -> bool:
        """Return whether the shift is the same in all rounds."""
        return self.first_round == 1 and self.last_round is None and self.growing_rounds == 1

    def progress(self, server_round: int) -> float:
        """Return which part of its strength the shift has in a round, from 0 to 1."""
        ended = self.last_round is not None and server_round > self.last_round
        if ended or server_round < self.first_round:
            return 0.0
        return min(1.0, (server_round - self.first_round + 1) / self.growing_rounds)


class Shift(ABC):
    """Changes examples in a way that a number says the strength of.

    The docstring's first line says how.

    Args:
        settings: Its keys.
        task: What the examples are of.
        where: The key of the scenario that asks for it, for messages.

    Raises:
        FedlabError: If it does not suit the task.
    """

    Settings: ClassVar[type[ShiftSettings]]
    unit: ClassVar[str] = ""
    """What stands after a strength in the name of a domain."""
    neutral: ClassVar[float] = 0.0
    """The strength that changes nothing, from which a shift grows."""
    alters_pictures: ClassVar[bool] = True
    """Whether it changes inputs, which are then pictures; else it changes targets alone."""

    def __init__(self, settings: ShiftSettings, task: Task, where: str) -> None:
        self.settings = settings
        if self.alters_pictures and task.modality != "image":
            raise FedlabError(
                f"{where}: it changes pictures, and this data set holds {task.modality} inputs"
            )

    @abstractmethod
    def changed(
        self, pictures: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return changed pictures (N, C, H, W); both are float32 from 0 to 1, and then clipped."""

    def relabelled(
        self, targets: torch.Tensor, strength: float, generator: torch.Generator
    ) -> torch.Tensor:
        """Return the targets (N, ...) that the examples have with the shift."""
        return targets


def shifts_of(tables: Sequence[ShiftSettings], task: Task) -> list[Shift]:
    """Return the shifts that ``[[data.shift]]`` asks for, in order.

    Raises:
        FedlabError: If one does not suit the task.
    """
    return [
        registry.shifts.get(table.name)(table, task, f"data.shift.{number}")
        for number, table in enumerate(tables)
    ]


def picture_changes(shifts: Sequence[Shift], profile: Profile) -> list[tuple[int, Shift, float]]:
    """Return the number, the shift and the strength of those that change pictures."""
    return [
        (number, shift, strength)
        for number, (shift, strength) in enumerate(zip(shifts, profile, strict=True))
        if strength is not None and shift.alters_pictures
    ]
