"""Downlink compression: what travels of the weights on their way to clients.

The processors of ``[[downlink]]`` work on the change of the global weights since they were last
sent. Server and clients hold the same copy x̂ of the weights, which the server moves by what arrives
of that change; what was left out stays in x − x̂ and is part of the next change, which is error
feedback at the server. With C what the processors make of a vector, x the global weights and a what
the strategy makes of updates that began from x̂,

    x̂ ← x̂ + C(x − x̂)        x ← a + (x − x̂)

Sources: Tang et al. 2019, ICML, "DoubleSqueeze"; Philippenko and Dieuleveut 2021, NeurIPS,
"Preserved central model for faster bidirectional compression in distributed settings" (MCM).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from fedlab import seeding
from fedlab.algorithm.error_feedback import ERROR
from fedlab.algorithm.setup import Setup
from fedlab.algorithm.strategy import traits_of
from fedlab.algorithm.update_chain import UpdateChain
from fedlab.scenario import Scenario
from fedlab.scenario.parts import downlink_chain
from fedlab.training.task import Arrays, Assignment, Update

SERVER = -1
"""The number under which the processors of the downlink draw: no client has it."""


class Downlink:
    """What clients have of the global weights, and what it costs to tell them of a change.

    A client that was away is sent all changes that it missed or, where these are not fewer bytes or
    it has never had any, x̂ itself. The bytes of each are counted; the engine hands x̂ to its
    clients, who would have arrived at the same bits.

    Args:
        chain: The processors of ``[[downlink]]``.
    """

    def __init__(self, chain: UpdateChain) -> None:
        self.chain = chain
        self._held: torch.Tensor | None = None
        self._after = 0
        self._residual: torch.Tensor | None = None
        self._kept: Arrays = {}
        self._sizes: list[int] = []
        self._has: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Return whether anything is compressed."""
        return len(self.chain) > 0

    def sent(self, weights: torch.Tensor, after: int) -> torch.Tensor:
        """Return (wire_size,) the weights x̂ that clients are sent in the place of the global ones.

        Args:
            weights: (wire_size,) the global weights.
            after: The round that they are the result of, from 0; asked again, x̂ stays.
        """
        if self._held is None:
            self._held = weights.clone()
        elif after != self._after:
            self._held = self._moved(weights, self._held, after)
        self._after = after
        self._residual = weights - self._held
        return self._held

    def _moved(self, weights: torch.Tensor, held: torch.Tensor, after: int) -> torch.Tensor:
        """Return x̂ + C(x − x̂)."""
        with seeding.scope(self.chain.seed, "downlink", after):
            config = self.chain.begin_round(after)
        asked = Assignment(SERVER, after, held, config=config, state=self._kept)
        update = Update(weights, 1, {})
        encoded = self.chain.encode(update, asked)
        # The memory of a processor would hold what x − x̂ holds already.
        self._kept = {n: t for n, t in update.state.items() if not n.endswith(f".{ERROR}")}
        moved = self.chain.decode(encoded, asked)
        size, whole = encoded.nbytes, self.chain.held
        if whole:
            moved[-whole:] = weights[-whole:]
            size += 4 * whole
        self._sizes.append(size)
        return moved

    def reached(self, weights: torch.Tensor) -> torch.Tensor:
        """Return (wire_size,) the global weights, given what the strategy made of the replies."""
        return weights if self._residual is None else weights + self._residual

    def saved(self, clients: Sequence[int]) -> int:
        """Return how many bytes fewer than x̂ itself these clients are sent, who have it then."""
        assert self._held is not None
        whole, total = self._held.nbytes, 0
        for client in clients:
            if client in self._has:
                total += max(0, whole - sum(self._sizes[self._has[client] :]))
            self._has[client] = len(self._sizes)
        return total

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        if self._held is None:
            return {}
        return {
            "held": self._held.numpy(),
            "kept": {name: tensor.numpy() for name, tensor in self._kept.items()},
            "sizes": list(self._sizes),
            "clients": np.array(list(self._has), np.int64),
            "versions": np.array(list(self._has.values()), np.int64),
            "after": self._after,
            "processors": self.chain.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        if not state:
            return
        self._held = torch.from_numpy(np.array(state["held"]))
        self._kept = {n: torch.from_numpy(np.array(a)) for n, a in state["kept"].items()}
        self._sizes = [int(size) for size in state["sizes"]]
        pairs = zip(state["clients"].tolist(), state["versions"].tolist(), strict=True)
        self._has = dict(pairs)
        self._after = int(state["after"])
        self.chain.load_state_dict(state["processors"])


def objections(scenario: Scenario, setup: Setup) -> Iterator[str]:
    """Yield why the downlink cannot be compressed in this run.

    Args:
        scenario: What is run.
        setup: All parts of the run.
    """
    if not scenario.downlink:
        return
    names = ", ".join(f"'{table.name}'" for table in scenario.downlink)
    if setup.engine.is_deployed:
        yield (
            f"downlink: sites are sent the weights whole, and {names} would save nothing there; "
            "leave [[downlink]] out"
        )
    if traits_of(setup.strategy).several_models:
        yield (
            f"downlink: {names} works on the change of one global model, and strategy "
            f"'{scenario.strategy.name}' has several; leave [[downlink]] out"
        )
    if not setup.network.model.layout.wire_parameters:
        yield f"downlink: {names} would process the weights that clients are sent, and none travel"
    for processor in downlink_chain(scenario, setup.network.model.layout).processors:
        if not processor.works_on_downlink:
            yield f"downlink: '{processor.settings.name}' works on what clients send; leave it out"
