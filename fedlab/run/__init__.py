"""``fedlab.run(scenario, **overrides)`` simulates a scenario and returns its run.

This package is also the rounds loop, and all that writes a run folder.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that may be called: ``fedlab.run`` is the room, and the function of its name."""

    def __call__(
        self,
        scenario: Any = None,
        /,
        *,
        runs: Any = "runs",
        path: Any = None,
        progress: bool = True,
        callbacks: Any = (),
        stop: Any = None,
        **overrides: Any,
    ) -> Any:
        """Simulate a scenario, write its run folder and report, and return the run.

        Args:
            scenario: The name of a built-in scenario, the path of a TOML file, a table, or a
                ``fedlab.Scenario``; None: the overrides say everything.
            runs: The folder in which the run folder is made.
            path: The run folder itself, in place of ``runs``.
            progress: Whether progress is shown.
            callbacks: What else watches the run.
            stop: An event: once it is set, by another thread, the run ends after the round.
            overrides: Keys of the scenario: ``rounds=3``, ``client__optimizer__lr=0.1``.

        See :func:`fedlab.api.running.run`.
        """
        run = import_module("fedlab.api").run
        watching = {"progress": progress, "callbacks": callbacks, "stop": stop}
        return run(scenario, runs=runs, path=path, **watching, **overrides)


sys.modules[__name__].__class__ = _CallableModule
