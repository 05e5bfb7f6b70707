"""fedlab: federated and transfer learning simulation.

Importing the package loads nothing heavy: torch, Flower and Ray are imported where they are used.

    >>> import fedlab
    >>> run = fedlab.run("fedavg", rounds=3)  # doctest: +SKIP
    >>> run.metrics["test.accuracy"]  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_INTERFACE = {
    "FedlabError": "fedlab.errors",
    "Run": "fedlab.api",
    "Scenario": "fedlab.api",
    "load_run": "fedlab.api",
}


def __getattr__(name: str) -> Any:
    """Return a name of Python's interface, whose modules are imported when it is first asked for.

    ``run`` is both: the room of that name, which can be called.
    """
    if name == "run":
        return import_module("fedlab.run")
    if name in _INTERFACE:
        return getattr(import_module(_INTERFACE[name]), name)
    raise AttributeError(f"module 'fedlab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_INTERFACE, "run"})
