"""What type checkers see of ``import fedlab``, whose names are imported when asked for."""

from fedlab.api import Run as Run
from fedlab.api import Scenario as Scenario
from fedlab.api import load_run as load_run
from fedlab.api import run as run
from fedlab.errors import FedlabError as FedlabError

__version__: str
