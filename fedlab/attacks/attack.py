"""The interface of attacks: changes of a client's data, of its update, or of several updates.

An attack is a class in ``clients/attacks``, registered by name. It extends :class:`Attack`, whose
methods change nothing, or :class:`CollusiveAttack`. Its only source of randomness is the generator
that it is given.
"""

from __future__ import annotations

from abc import abstractmethod
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
    """What a malicious client does on its own, with its own data and the weights that it received.

    Attributes:
        settings: The keys of ``[attack]``.
        remembers: Whether the client keeps the received weights for its next round.
        changes_inputs: Whether inputs are changed, so that cached features are invalid.
        has_trigger: Whether a trigger in an input is to decide its class; the success rate is
            reported.
    """

    Settings: ClassVar[type[AttackSettings]] = AttackSettings
    remembers: ClassVar[bool] = False
    changes_inputs: ClassVar[bool] = False
    has_trigger: ClassVar[bool] = False

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Tell what an attack with a trigger has forgotten.

        Raises:
            TypeError: If it has not all that belongs to a trigger.
        """
        super().__init_subclass__(**keywords)
        for name in ("triggered", "wanted_class"):
            if cls.has_trigger and getattr(cls, name) is getattr(Attack, name):
                raise TypeError(f"attack {cls.__name__} has a trigger, and no '{name}' of its own")

    @property
    def changes_weights(self) -> bool:
        """Return whether malicious clients send weights other than those they trained."""
        return type(self).corrupted is not Attack.corrupted

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield a sentence for each reason why the attack is impossible in this run.

        Args:
            setup: All parts of the run.
        """
        yield from self._strangers(setup.population)
        if self.changes_weights:
            yield from self._weights(setup)

    def _strangers(self, population: int) -> Iterator[str]:
        """Yield objections if a malicious client does not exist, or no client is benign."""
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
        """Yield objections if the attack changes weights, and clients do not send weights."""
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
        """Return the examples that the client trains on instead of its own."""
        return examples

    def corrupted(
        self,
        trained: torch.Tensor,
        received: torch.Tensor,
        before: torch.Tensor | None,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the parameters that the client sends instead of those that it trained.

        Whatever else an algorithm sends (running statistics, a control variate, a loss) stays as
        honest training left it: the papers' attackers change only weights or gradients.

        Args:
            trained: (parameters,) those after training; not to be changed.
            received: (parameters,) those that the server sent (of several models, those which the
                client trained); not to be changed.
            before: (parameters,) those that the client received before, if the attack
                ``remembers`` them and it took part before.
            generator: The source of randomness for this client and round.
        """
        return trained

    def triggered(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs with the trigger in them (``has_trigger``)."""
        raise NotImplementedError

    @property
    def wanted_class(self) -> int:
        """Return the class to be predicted for inputs with the trigger (``has_trigger``)."""
        raise NotImplementedError


class CollusiveAttackSettings(AttackSettings):
    """Keys of ``[attack]`` of attacks that use other clients' updates."""

    knowledge: Literal["own", "all"] = Field(
        "all",
        description="whose updates the attackers know: those that malicious clients would have "
        "sent ('own'), or those of all benign clients ('all')",
    )


@dataclass(frozen=True)
class ObservedUpdates:
    """The updates that attackers know in a round: each client's change of the weights sent.

    Attributes:
        own: (m, parameters) the updates of the malicious clients' honest training.
        benign: (n − m, parameters) the updates of the benign clients.
        clients: The benign clients' numbers, in the order of ``benign``.
    """

    own: Vector
    benign: Vector
    clients: tuple[int, ...]


class CollusiveAttack(Attack):
    """The update that malicious clients agree to send, given the knowledge that the paper grants.

    Attributes that a subclass sets (numbers and arrays) are its state in checkpoints.
    """

    @property
    def changes_weights(self) -> bool:
        """Return True: malicious clients send an update that they agree on."""
        return True

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield objections if updates of one round cannot be compared."""
        yield from super().objections(setup)
        if traits_of(setup.strategy).several_models:
            yield (
                f"attack.name: '{self.settings.name}' compares updates of one global model, and "
                f"strategy '{setup.scenario.strategy.name}' has several; take an attack that each "
                "client makes by itself, such as 'sign-flip'"
            )

    @abstractmethod
    def agreed(self, observed: ObservedUpdates, generator: np.random.Generator) -> Vector:
        """Return (parameters,) the update that all malicious clients of the round send."""
        raise NotImplementedError

    def known(self, observed: ObservedUpdates) -> Vector:
        """Return (k, parameters) the honest updates that ``settings.knowledge`` grants."""
        return observed.benign if self.settings.knowledge == "all" else observed.own

    def state_dict(self) -> dict[str, Any]:
        """Return what changes from round to round."""
        return attributes_state(self, frozenset({"settings"}))  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
