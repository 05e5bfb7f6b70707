"""``fedlab.run(scenario, **overrides)`` simulates a scenario and returns its run.

This package is also the rounds loop, and all that writes a run folder.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that may be called: ``fedlab.run`` is the room, and the function of its name."""

    def __call__(self, scenario: Any = None, /, **options: Any) -> Any:
        """Simulate a scenario and return its run; see :func:`fedlab.api.running.run`."""
        return import_module("fedlab.api").run(scenario, **options)


sys.modules[__name__].__class__ = _CallableModule
