"""Any client algorithm whose client 0 has the learning rate 0: ``benchmarks.sanity.idle:fedprox``.

It returns the parameters that it received, as a client whose schedule has come down to 0 does, or
one that takes part without working.
"""

from __future__ import annotations

from typing import Any

from fedlab import registry

IDLE = 0
"""The number of the client."""


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    base = registry.clients.get(name.replace("_", "-"))

    def rate_factor(self: Any, task: Any) -> float:
        return 0.0 if task.client == IDLE else float(base.rate_factor(self, task))

    made = globals()[name] = type(
        base.__name__, (base,), {"rate_factor": rate_factor, "__doc__": base.__doc__}
    )
    return made
