"""Fine-tuning: the others train on, and the forgotten client's part fades."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from fedlab.algorithm.setup import Setup
from fedlab.registry import unlearning
from fedlab.run.unlearning.lines import Lines
from fedlab.run.unlearning.method import (
    MethodSettings,
    Past,
    Unlearned,
    UnlearningMethod,
    last_rounds,
    not_weights_alone,
)
from fedlab.run.without import Cost, Without


class FineTuningSettings(MethodSettings):
    """Keys of fine-tuning."""

    rounds: int = Field(
        2, ge=1, le=10**6, description="of training by the others, the run's last ones"
    )


@unlearning.register("fine-tuning")
class FineTuning(UnlearningMethod):
    """The control: the others train on for a few rounds, from the run's last weights.

    It is what projected gradient ascent does after its ascent, and forgets no more than what fades
    by itself: a method has to do better to be worth its name (the baseline of Golatkar, Achille and
    Soatto 2020, CVPR).
    """

    Settings: ClassVar[type[MethodSettings]] = FineTuningSettings

    def objections(self, past: Past, setup: Setup) -> Iterator[str]:
        """Yield objections if more than weights would have to be corrected, or rounds are few."""
        yield from not_weights_alone(past, setup)
        yield from last_rounds("fine-tuning", self.settings.rounds, past)

    def unlearn(self, past: Past) -> Unlearned:
        """Return the weights after a few rounds of the others."""
        lines = Lines()
        with past.again() as simulation:
            rounds = Without(simulation, past.gone, [lines])
            rounds.put_back(past.weights)
            rounds.only(past.last(self.settings.rounds))
            return Unlearned(rounds.weights.clone(), rounds.cost, Cost(), lines.kept)
