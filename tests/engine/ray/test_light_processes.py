"""What a run does not use is not imported: it would cost every process seconds and memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.shared import raw_with

HEAVY = (
    "torch._dynamo",
    "triton",
    "torchvision",
    "timm",
    "datasets",
    "scipy",
    "sklearn",
    "matplotlib",
)
RUN = """
import sys
from pathlib import Path
from fedlab.run.folder import RunFolder
from fedlab.scenario import loads
from fedlab.run.execution import run

scenario = loads(Path(sys.argv[1]).read_text())
run(RunFolder.create(Path(sys.argv[2]), "light", scenario))
print(",".join(name for name in sys.argv[3:] if name in sys.modules))
"""


@pytest.mark.parametrize("model", ['name = "mlp"\nhidden = [4]', 'name = "linear"'])
def test_a_run_on_a_small_model_imports_no_unused_library(tmp_path: Path, model: str) -> None:
    scenario = tmp_path / "scenario.toml"
    changes = (
        'rounds = 1\ndata = {name = "logic", partition.clients = 2}\nclient.optimizer.lr = 0.1'
    )
    scenario.write_text(tomli_w.dumps(raw_with(changes, model=model)))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(scenario), str(tmp_path), *HEAVY],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.strip() == ""
