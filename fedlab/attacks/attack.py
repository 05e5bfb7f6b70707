"""What an attack is: a change of a client's data, of what it sends, or of what several send.

An attack is a class in ``clients/attacks``, registered by name. It extends :class:`Attack`, whose
methods leave everything as it is, or :class:`CollusiveAttack`. It draws at random only from the
generator that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import attributes_state, traits_of
from fedlab.data.dataset import Examples, Task
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

    @property
    def changes_weights(self) -> bool:
        """Return whether malicious clients send other weights than they trained."""
        return type(self).corrupted is not Attack.corrupted

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why the attack cannot be made on this run.

        Args:
            setup: All parts of the run.
        """
        yield from self._strangers(setup.population)
        if self.changes_weights:
            yield from self._weights(setup)

    def _strangers(self, population: int) -> Iterator[str]:
        """Tell whether the malicious clients are clients, and leave others."""
        clients = self.settings.clients
        strangers = [client for client in clients if not 0 <= client < population]
        if strangers:
            yield (
                f"attack.clients: there is no client {strangers[0]}; the partition has clients 0 "
                f"to {population - 1}"
            )
        if population - len(set(clients)) < 1 or population < 2:
            yield f"attack: of {population} clients, one at least must be benign"

    def _weights(self, setup: Setup) -> Iterator[str]:
        """Tell whether what clients send is what an attack on weights would change."""
        name = self.settings.name
        if setup.network.model.layout.wire_size == 0:
            yield (
                f"attack.name: '{name}' changes the weights that clients send, and none travel here"
            )
        elif not getattr(setup.algorithm, "sends_weights", True):
            yield (
                f"attack.name: '{name}' changes the weights that clients send, and client "
                f"'{setup.scenario.client.name}' sends something else in their place; take "
                "'label-flip', or another client"
            )

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
class ObservedUpdates:
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

    @property
    def changes_weights(self) -> bool:
        """Return True: what malicious clients send is agreed on."""
        return True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether updates of one round cannot be compared."""
        yield from super().objections(setup)
        if traits_of(setup.strategy).several_models:
            yield (
                f"attack.name: '{self.settings.name}' compares updates of one global model, and "
                f"strategy '{setup.scenario.strategy.name}' has several; take an attack that each "
                "client makes by itself, such as 'sign-flip'"
            )

    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return (wire_size,) the update that all malicious clients of the round send."""
        raise NotImplementedError

    def known(self, observed: ObservedUpdates) -> Vector:
        """Return (k, wire_size) the honest updates that ``settings.knowledge`` grants."""
        return observed.benign if self.settings.knowledge == "all" else observed.own

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round."""
        return attributes_state(self, frozenset({"settings"}))  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
