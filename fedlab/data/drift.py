"""Shifts that begin, grow or end with the rounds: made as examples are looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fedlab import seeding
from fedlab.data.dataset import Examples, IntArray, Task
from fedlab.data.shift import (
    ROWS_AT_ONCE,
    Profile,
    Shift,
    ShiftSettings,
    picture_changes,
    shifts_of,
)


@dataclass(frozen=True)
class Drift:
    """Which examples are shifted in which round, and how strongly.

    What an example is in a round depends on the round, the seed and the rows that are looked at
    together, on nothing that a run has done before: a resumed run and one on other workers see the
    same.

    Attributes:
        tables: ``[[data.shift]]``, in order.
        task: Of the data set.
        domains: The strengths that each domain reaches; None for shifts of the whole run, which
            are in the examples already.
        train, test: (N,) the domain of each row of either part; -1 for none.
        seed: The scenario's.
    """

    tables: tuple[ShiftSettings, ...]
    task: Task
    domains: tuple[Profile, ...]
    train: IntArray
    test: IntArray
    seed: int

    @cached_property
    def _shifts(self) -> list[Shift]:
        return shifts_of(self.tables, self.task)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_shifts"}

    def tested_on(self, rows: IntArray) -> Drift:
        """Return the drift where these rows of the test part are left."""
        return replace(self, test=self.test[rows])

    def of_train(self, examples: Examples, rows: IntArray, server_round: int) -> Examples:
        """Return examples of these rows of the training part as they are in a round."""
        return self._changed(examples, self.train[rows], rows, "train", server_round)

    def of_test(self, examples: Examples, start: int, server_round: int) -> Examples:
        """Return the test part's examples from row ``start`` on as they are in a round."""
        rows = np.arange(start, start + len(examples))
        return self._changed(examples, self.test[rows], rows, "test", server_round)

    def strengths(self, domain: int, server_round: int) -> Profile:
        """Return how strong each shift of a domain is in a round; None: it changes nothing."""
        found: list[float | None] = []
        for shift, table, full in zip(self._shifts, self.tables, self.domains[domain], strict=True):
            progress = table.progress(server_round)
            if full is None or not progress:
                found.append(None)
            else:
                found.append(shift.neutral + progress * (full - shift.neutral))
        return tuple(found)

    def _changed(
        self, examples: Examples, domains: IntArray, rows: IntArray, part: str, server_round: int
    ) -> Examples:
        numbers = np.unique(domains[domains >= 0]).tolist()
        profiles = {number: self.strengths(number, server_round) for number in numbers}
        if not any(strength is not None for own in profiles.values() for strength in own):
            return examples
        # On the CPU: what is drawn and computed there is the same for every device.
        inputs, targets = examples.inputs.cpu().clone(), examples.targets.cpu().clone()
        for number, profile in profiles.items():
            where = torch.from_numpy(np.flatnonzero(domains == number))
            drawn = "drift", part, int(rows[0]), number
            inputs[where] = self._pictures(inputs[where], profile, drawn)
            for place, (shift, strength) in enumerate(zip(self._shifts, profile, strict=True)):
                if strength is not None:
                    generator = seeding.torch_generator(self.seed, *drawn, "targets", place)
                    targets[where] = shift.relabelled(targets[where], strength, generator)
        device = examples.targets.device
        return Examples(
            inputs.to(device), targets.to(device), examples.groups, examples.group_names
        )

    def _pictures(
        self, pictures: torch.Tensor, profile: Profile, drawn: tuple[int | str, ...]
    ) -> torch.Tensor:
        """Return stored pictures (N, ...) changed by shifts of these strengths."""
        changes = picture_changes(self._shifts, profile)
        if not changes:
            return pictures
        generators = [seeding.torch_generator(self.seed, *drawn, place) for place, *_ in changes]
        new = []
        for some in torch.split(pictures, ROWS_AT_ONCE):
            batch = some.float().div_(255)
            for generator, (_, shift, strength) in zip(generators, changes, strict=True):
                batch = shift.changed(batch, strength, generator).clamp(0, 1)
            new.append(batch.mul(255).round_().byte())
        return torch.cat(new)
