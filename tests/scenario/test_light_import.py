"""Commands that only read scenarios answer at once."""

import subprocess
import sys

HEAVY = ("torch", "flwr", "ray", "torchvision", "timm", "sklearn", "scipy", "matplotlib")


def test_reading_scenarios_imports_nothing_heavy() -> None:
    command = f"import sys, fedlab.scenario; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
