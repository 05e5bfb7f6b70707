"""The page on Python is true: its code runs from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fedlab

ROOT = Path(fedlab.__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_code_of_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    code = "\n".join(BLOCK.findall((ROOT / "docs" / "python.md").read_text()))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/*/report.html"))) == 2
    assert (tmp_path / "digits.toml").exists()
