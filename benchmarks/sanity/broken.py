"""Any client algorithm whose client 0 sends NaN: ``benchmarks.sanity.broken:fedprox``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fedlab import registry

BROKEN = 0
"""The number of the client."""


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    base = registry.clients.get(name.replace("_", "-"))

    def update(self: Any, task: Any, fitted: Any) -> Any:
        sent = base.update(self, task, fitted)
        if task.client != BROKEN:
            return sent
        arrays = {name: array * float("nan") for name, array in sent.arrays.items()}
        return replace(sent, weights=sent.weights * float("nan"), arrays=arrays)

    made = globals()[name] = type(
        base.__name__, (base,), {"update": update, "__doc__": base.__doc__}
    )
    return made
