"""Python's interface, thin over what the command line calls: the names of ``import fedlab``."""

from fedlab.api.notebook import without_hints_at_widgets
from fedlab.api.run import Run, load_run
from fedlab.api.running import run
from fedlab.api.scenario import Scenario

__all__ = ["Run", "Scenario", "load_run", "run"]

without_hints_at_widgets()
