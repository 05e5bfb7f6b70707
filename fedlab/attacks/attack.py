"""What an attack is: a change of a client's data, of what it sends, or of what several send.

An attack is a class in ``clients/attacks``, registered by name. It extends :class:`Attack`, whose
methods leave everything as it is, or :class:`CollusiveAttack`. It draws at random only from the
generator that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab.data.dataset import Examples, Task
from fedlab.server.strategy import attributes_state
from fedlab.settings import Settings

Vector = np.ndarray[Any, np.dtype[Any]]


class AttackSettings(Settings):
    """Keys of ``[attack]`` that every attack has."""

    name: str
    fraction: float | None = Field(
        None, gt=0, lt=1, description="fraction of the clients that are malicious, drawn by seed"
    )
    clients: tuple[int, ...] = Field((), description="the malicious clients, instead of a fraction")
    start: int = Field(1, ge=1, description="first round of the attack")
    stop: int | None = Field(None, ge=1, description="last round of the attack; default: the last")

    @model_validator(mode="after")
    def _says_who(self) -> AttackSettings:
        if (self.fraction is None) == (not self.clients):
            raise ValueError("say who is malicious: set either fraction or clients")
        if self.stop is not None and self.stop < self.start:
            raise ValueError(f"stop = {self.stop} comes before start = {self.start}")
        return self


class Attack:
    """What one malicious client does by itself, with its own data and what it was sent.

    Attributes:
        settings: The keys of ``[attack]``.
        remembers: Whether the client keeps the weights that it was sent, for its next round.
        changes_inputs: Whether inputs are changed, so that what was computed of them is of no use.
        has_trigger: Whether a trigger in an input shall decide its class; how often it does is
            reported.
    """

    Settings: ClassVar[type[AttackSettings]] = AttackSettings
    remembers: ClassVar[bool] = False
    changes_inputs: ClassVar[bool] = False
    has_trigger: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def check(self, task: Task) -> None:
        """Check that the attack can be made on this task.

        Raises:
            FedlabError: If it cannot.
        """

    def poisoned(self, examples: Examples, task: Task, generator: torch.Generator) -> Examples:
        """Return what the client trains on in the place of its examples."""
        return examples

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return what the client sends in the place of the weights that it trained.

        What an algorithm sends besides (a control variate, a loss) stays as honest training left
        it: the papers' attackers know of weights, or gradients, alone.

        Args:
            trained: (wire_size,) the weights after training; not to be changed.
            received: (wire_size,) the weights that the server sent, of several those that the
                client trained; not to be changed.
            before: (wire_size,) the weights that the server sent the time before, where the attack
                ``remembers`` and there was one.
            generator: The source of randomness for this client and round.
        """
        return trained

    def triggered(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs with the trigger in them (``has_trigger``)."""
        raise NotImplementedError

    @property
    def wanted_class(self) -> int:
        """Return the class that triggered inputs shall be taken for (``has_trigger``)."""
        raise NotImplementedError


class CollusiveAttackSettings(AttackSettings):
    """Keys of ``[attack]`` of attacks that look at other clients' updates."""

    knowledge: Literal["own", "all"] = Field(
        "all",
        description="whose updates the attackers know: those that malicious clients would have "
        "sent ('own'), or those of all benign clients ('all')",
    )


@dataclass(frozen=True)
class Overheard:
    """What attackers know of a round's updates: how far each client went from the weights sent.

    Attributes:
        own: (m, wire_size) what the malicious clients' honest training would have sent.
        benign: (n − m, wire_size) what the benign clients sent.
        clients: The benign clients' numbers, in the order of ``benign``.
    """

    own: Vector
    benign: Vector
    clients: tuple[int, ...]


class CollusiveAttack(Attack):
    """What malicious clients agree to send, once they know what the paper lets them know.

    What a subclass sets as its own attributes is its state in checkpoints: numbers and arrays.
    """

    def agreed(self, overheard: Overheard, generator: np.random.Generator) -> Vector:
        """Return (wire_size,) the update that all malicious clients of the round send."""
        raise NotImplementedError

    def known(self, overheard: Overheard) -> Vector:
        """Return (k, wire_size) the honest updates that ``settings.knowledge`` grants."""
        return overheard.benign if self.settings.knowledge == "all" else overheard.own

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round."""
        return attributes_state(self, frozenset({"settings"}))  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
