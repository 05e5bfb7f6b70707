"""Random-k: a random part of each update travels, and no places with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from fedlab.algorithm.error_feedback import ErrorFeedback, ErrorFeedbackSettings
from fedlab.algorithm.processing import Payload, Received
from fedlab.registry import updates
from fedlab.training.task import Scalar

SEED, LENGTH = "seed", "length"


class RandomKSettings(ErrorFeedbackSettings):
    """Keys of a table of ``[[updates]]`` with name = "random-k"."""

    error_feedback: bool = Field(
        False, description="whether what was left out is added to the client's next update"
    )
    fraction: float = Field(0.25, gt=0, le=1, description="k over the number of parameters")
    unbiased: bool | None = Field(
        None,
        description="send n/k times each number, right on average; default: unless errors are fed "
        "back, with which it does not go",
    )
    mask: Literal["client", "round"] = Field(
        "client",
        description="who draws the places: each client its own, or the server one set a round for "
        "all, whose sums are then taken before they are decoded",
    )

    @model_validator(mode="after")
    def _is_a_contraction(self) -> RandomKSettings:
        if self.unbiased and self.error_feedback:
            raise ValueError(
                "unbiased: numbers n/k times too large leave an error that error feedback would "
                "add up without end; set error_feedback = false, or leave unbiased out"
            )
        return self


@updates.register("random-k")
class RandomK(ErrorFeedback):
    """Random-k: sends k random numbers of an update (Stich et al. 2018; Konečný et al. 2016).

    rand_k keeps k of n numbers, drawn without replacement, and sets the others to 0. It is a
    contraction, E ‖rand_k(x) − x‖² = (1 − k/n) ‖x‖² (Stich et al., Lemma A.1), so that error
    feedback makes up for it. The subsampled updates of Konečný et al., "Federated Learning:
    Strategies for Improving Communication Efficiency", section 3, are (n/k) rand_k(x): right on
    average, with E ‖(n/k) rand_k(x) − x‖² = (n/k − 1) ‖x‖². These are the default: a client that
    trains in few rounds has its error for long.

    The places follow from a seed of 8 bytes, which travels in their stead.
    """

    Settings: ClassVar[type[RandomKSettings]] = RandomKSettings

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.decodes_sums = settings.mask == "round"

    def begin_round(self, server_round: int) -> dict[str, Scalar]:
        """Return the seed of the round's places, where all clients have the same."""
        if self.settings.mask == "client":
            return {}
        return {SEED: int(torch.randint(2**62, (1,)))}

    def compress(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the numbers at k random places, and the seed that the places follow from."""
        along = {LENGTH: torch.tensor([len(update)])}
        if self.settings.mask == "round":
            seed = int(received.values[SEED])
        else:
            along[SEED] = torch.randint(2**62, (1,), generator=generator)
            seed = int(along[SEED])
        return Payload(update[self._places(seed, len(update))] * self._factor(len(update)), along)

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return a vector of zeros but for these numbers at their places."""
        shared = self.settings.mask == "round"
        seed = int(received.values[SEED]) if shared else int(payload.along[SEED])
        update = torch.zeros(int(payload.along[LENGTH]))
        update[self._places(seed, len(update))] = payload.values
        return update

    def objections(self, setup: Any) -> Iterator[str]:
        """Yield whether replies that should be added up arrive one by one."""
        yield from super().objections(setup)
        if self.decodes_sums and not setup.engine.adds_up:
            yield (
                f"updates: 'random-k' with mask = 'round' is decoded once all clients' are added "
                f"up, and engine '{setup.scenario.engine.name}' hands them on one by one; set "
                "mask = 'client'"
            )

    def _places(self, seed: int, size: int) -> torch.Tensor:
        count = math.ceil(self.settings.fraction * size)
        drawn = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
        return drawn[:count].sort().values

    def _factor(self, size: int) -> float:
        return size / math.ceil(self.settings.fraction * size) if self._is_unbiased else 1.0

    @property
    def _is_unbiased(self) -> bool:
        wanted = self.settings.unbiased
        return not self.settings.error_feedback if wanted is None else bool(wanted)
