"""What a list of backbones says about one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A backbone, in a line of a list.

    Attributes:
        name: As ``model.name`` and ``--backbone`` take it.
        parameters: With the head of its pretraining; None where the library cannot build it.
        inputs: What it takes, at the size of its pretraining.
        licence: Of the weights, as far as stated.
        weights: Where they are, or come from.
    """

    name: str
    parameters: int | None
    inputs: str
    licence: str
    weights: str
