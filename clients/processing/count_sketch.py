"""Count sketches: tables that can be added up, and that the largest changes are found in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from fedlab.algorithm.processing import Payload, ProcessorSettings, Received, UpdateProcessor
from fedlab.algorithm.setup import Setup
from fedlab.registry import updates
from fedlab.training.task import Scalar

SEED, LENGTH = "seed", "length"
PRIME = 2**31 - 1
"""Hash functions are polynomials modulo this prime; products of two such numbers fit 63 bits."""


class CountSketchSettings(ProcessorSettings):
    """Keys of a table of ``[[updates]]`` with name = "count-sketch"."""

    size: float = Field(
        0.2, gt=0, le=1, description="numbers in a sketch over the number of parameters"
    )
    rows: int = Field(5, ge=1, description="hash tables in a sketch; the estimate is their median")
    fraction: float = Field(
        0.05, gt=0, le=1, description="k over the number of parameters: changes that are read"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="ρ of the server's momentum")
    error_feedback: bool = Field(
        True, description="whether what was not read stays in the server's sketch"
    )
    masking: bool = Field(
        True,
        description="set the places of what was read to 0 in the server's sketches; false "
        "subtracts what was read, and errors of the estimates may then add up without end",
    )


@updates.register("count-sketch")
class CountSketch(UpdateProcessor):
    """FetchSGD: count sketches that are added up, and read at the server (Rothchild et al. 2020).

    "FetchSGD: Communication-Efficient Federated Learning with Sketching", Algorithm 1. A count
    sketch S(x) (Charikar, Chen and Farach-Colton 2002) has r rows of c numbers; in row j number xᵢ
    is added, with the sign sⱼ(i), at place hⱼ(i), and U(S)ᵢ is the median over rows of
    sⱼ(i) S[j, hⱼ(i)]. It is linear: the sum of clients' sketches is the sketch of their sum. With
    S̄ the mean of the clients' sketches of their changes, and zero sketches S_u, S_e at first,

        S_u ← ρ S_u + S̄        S_e ← S_e + S_u        Δ ← top_k(U(S_e))
        S_e ← S_e − S(Δ)        x ← x + Δ

    With ``masking`` the places of S_e and S_u that S(Δ) touches are set to 0 instead, as the
    authors do in their experiments: an estimate is off by what shares its places, and subtracting
    it leaves that error in the sketch, which grows unless the sketch is large and k small.

    So clients keep nothing: momentum and error feedback are the server's. Here it is the
    change that clients send, with its own sign and learning rate. Without error feedback S_e ← S_u.

    Attributes:
        error, speed: S_e and S_u; None before the first round.
        seed: What the hash functions follow from, the same in all rounds.
    """

    Settings: ClassVar[type[ProcessorSettings]] = CountSketchSettings
    decodes_sums: bool = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.error: np.ndarray[Any, Any] | None = None
        self.speed: np.ndarray[Any, Any] | None = None
        self.seed: int | None = None

    def begin_round(self, server_round: int) -> dict[str, Scalar]:
        """Return the seed of the hash functions."""
        if self.seed is None:
            self.seed = int(torch.randint(2**62, (1,)))
        return {SEED: self.seed}

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the sketch of the update, row after row."""
        sketch = self.sketch(update, int(received.values[SEED]))
        return Payload(sketch.flatten(), {LENGTH: torch.tensor([len(update)])})

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the largest changes in one sketch by itself."""
        seed, size = int(received.values[SEED]), int(payload.along[LENGTH])
        return self._largest(payload.values.view(self.settings.rows, -1), seed, size)

    def decode_mean(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return what the server reads in this round, with momentum and what it left before."""
        seed, size = int(received.values[SEED]), int(payload.along[LENGTH])
        speed = payload.values.view(self.settings.rows, -1)
        if self.speed is not None:
            speed = speed + self.settings.momentum * torch.from_numpy(self.speed)
        error = speed
        if self.error is not None and self.settings.error_feedback:
            error = speed + torch.from_numpy(self.error)
        change = self._largest(error, seed, size)
        read = self.sketch(change, seed)
        if self.settings.masking:
            left, speed = error.where(read == 0, 0.0), speed.where(read == 0, 0.0)
        else:
            left = error - read
        self.speed = speed.numpy().copy() if self.settings.momentum else None
        self.error = left.numpy().copy() if self.settings.error_feedback else None
        return change

    def sketch(self, vector: torch.Tensor, seed: int) -> torch.Tensor:
        """Return (rows, columns) float32, the count sketch of a vector.

        Args:
            vector: (n,) float32.
            seed: Of the hash functions.
        """
        columns = math.ceil(self.settings.size * len(vector) / self.settings.rows)
        table = torch.zeros(self.settings.rows, columns)
        for row, (places, signs) in enumerate(self._hashes(seed, len(vector), columns)):
            # float64, in which the order of the additions hardly matters.
            sums = torch.bincount(places, (vector * signs).double(), minlength=columns)
            table[row] = sums.float()
        return table

    def estimates(self, sketch: torch.Tensor, seed: int, size: int) -> torch.Tensor:
        """Return (size,) float32, U(S): the median over rows of what each says of a number."""
        hashes = self._hashes(seed, size, sketch.shape[1])
        said = [row[places] * signs for row, (places, signs) in zip(sketch, hashes, strict=True)]
        return torch.from_numpy(np.median(torch.stack(said).numpy(), axis=0))

    def _largest(self, sketch: torch.Tensor, seed: int, size: int) -> torch.Tensor:
        found = self.estimates(sketch, seed, size)
        count = math.ceil(self.settings.fraction * size)
        places = found.abs().topk(count, sorted=False).indices
        change = torch.zeros(size)
        change[places] = found[places]
        return change

    def _hashes(
        self, seed: int, size: int, columns: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield each row's places (size,), pairwise independent, and signs (size,), fourwise."""
        numbers = torch.arange(size)
        generator = torch.Generator().manual_seed(seed)
        for _ in range(self.settings.rows):
            a, b, c, d, e, f = (int(x) for x in torch.randint(1, PRIME, (6,), generator=generator))
            places = (numbers * a + b) % PRIME % columns
            signs = (((numbers * c + d) % PRIME * numbers + e) % PRIME * numbers + f) % PRIME % 2
            yield places, (2 * signs - 1).float()

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether sketches that should be added up arrive one by one."""
        yield from super().objections(setup)
        others = [t.name for t in setup.scenario.updates if t.name != self.settings.name]
        if others:
            yield (
                "updates: 'count-sketch' is read from the sum of clients' sketches, and of what "
                f"'{others[0]}' leaves no sums are taken; let it be the only one"
            )
        if not setup.engine.adds_up:
            yield (
                "updates: 'count-sketch' is read once all clients' sketches are added up, and "
                f"engine '{setup.scenario.engine.name}' hands them on one by one; take 'ray' or "
                "'inline'"
            )
