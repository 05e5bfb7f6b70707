"""What leaves a client: checked, corrupted if it is malicious, encoded as it travels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fedlab.algorithm.update_chain import UpdateChain
from fedlab.attacks.adversary import Adversary
from fedlab.copying import has_double_precision
from fedlab.engine.devices import CPU
from fedlab.engine.worker.malicious import corrupt
from fedlab.engine.worker.placement import Placement
from fedlab.models.layout import FlatModel
from fedlab.training.task import Assignment, Update
from fedlab.wire.checks import (
    BadReply,
    check_examples,
    check_kept,
    check_numbers,
    check_vectors,
)
from fedlab.wire.protocol import SQUARED_CHANGE

PERSONAL = "personal"
"""What clients keep of their own part of the model."""
WEIGHTS = "the weights"
"""What messages call the vector that travels."""


class Outgoing:
    """Checks what leaves a worker's clients.

    Args:
        placement: Between the CPU and the worker's device.
        adversary: Which clients attack, and how; None where nobody does.
        updates: What happens to updates on their way.
        seed: The scenario's.
    """

    def __init__(
        self, placement: Placement, adversary: Adversary | None, updates: UpdateChain, seed: int
    ) -> None:
        self._placement = placement
        self._adversary = adversary
        self._updates = updates
        self._seed = seed

    @property
    def stays_on_device(self) -> bool:
        """Return whether updates that are only added up stay on the device until that is done.

        Whatever looks at single updates, attackers and processors, does so on the CPU.
        """
        device = self._placement.device
        plain = self._adversary is None and not self._updates
        return plain and device != CPU and has_double_precision(device)

    def checked(
        self, update: Update, assignment: Assignment, model: FlatModel, is_summed: bool
    ) -> Update:
        """Return what leaves a client, and what it keeps with its own part added.

        Args:
            update: What its algorithm returned.
            assignment: What was asked of it.
            model: Its model, as training left it.
            is_summed: Whether the update is only added to others: it may stay on the device.

        Raises:
            BadReply: If its weights are not of this model's size, or anything is not finite.
        """
        if is_summed and self.stays_on_device:
            update = self._placement.to_be_summed(update)
        else:
            update = self._placement.update(update)
        layout = model.layout
        if self._adversary is not None:
            corrupt(update, assignment, layout.wire_parameters, self._adversary, self._seed)
        if layout.personal_size:
            update.state = {**update.state, PERSONAL: model.personal().cpu()}
        _check(update, layout.wire_size, layout.wire_variances)
        if self._updates:
            update.encoded = self._updates.encode(update, assignment)
        if assignment.config.get(SQUARED_CHANGE):
            change = self._change(update, assignment)[: layout.wire_parameters]
            update.metrics["squared_change"] = float(change.double().square().sum())
        return update

    def _change(self, update: Update, assignment: Assignment) -> torch.Tensor:
        """Return how far the weights that the server will see are from those that were sent."""
        seen = update.weights
        if update.encoded is not None:
            seen = self._updates.decode(update.encoded, assignment)
        here = seen.device == CPU
        return seen - (assignment.wire if here else self._placement.shared(assignment.wire))


def _check(update: Update, size: int, variances: Sequence[slice]) -> None:
    """Check all that an update holds.

    Raises:
        BadReply: If there is anything that no strategy can use.
    """
    vectors: dict[str, Any] = {WEIGHTS: update.weights, **update.arrays}
    if update.weights.device == CPU:
        vectors = {name: vector.numpy() for name, vector in vectors.items()}
    check_vectors(vectors, WEIGHTS, size)
    if _any_negative(update.weights, variances):
        raise BadReply("the update holds a negative running variance")
    check_examples(update.examples)
    check_numbers(update.metrics)
    check_kept({name: kept.numpy() for name, kept in update.state.items()})


def _any_negative(weights: torch.Tensor, parts: Sequence[slice]) -> bool:
    """Return whether a number in any of these parts is below 0; it is read once for all."""
    found = [(weights[part] < 0).any() for part in parts]
    return bool(torch.stack(found).any()) if found else False
