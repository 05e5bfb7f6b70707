"""The tutorials run from top to bottom without the internet, and show what they say."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import fedlab

ROOT = Path(fedlab.__file__).parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
SHOWN = {
    "1-quickstart": "means = accuracy.tail(10).mean()\nassert means['SCAFFOLD'] > means['FedAvg']",
    "2-own-pictures": "assert (sites.to_numpy() > alone.to_numpy()).all()",
    "3-own-table": "assert (found['prediction'] == found['diagnosis']).mean() > 0.8",
    "4-new-algorithm": "means = accuracy.tail(10).mean()\n"
    "assert means['FedCM at 0.1'] == means.max()\n"
    "assert replayed.agrees\n"
    "assert parallel.summary['weights_sha256'] == fedcm.summary['weights_sha256']",
    "5-laptop-to-cluster": "assert inline.summary['rounds'] == 4",
}
"""What each of them shows, checked in its own kernel."""
FAST = {"1-quickstart"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in SHOWN]
)
def test_a_tutorial_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")
    notebook = nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(SHOWN[name]))
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]


def test_there_is_no_other_and_none_has_outputs() -> None:
    assert {path.stem for path in TUTORIALS.glob("*.ipynb")} == set(SHOWN)
    for path in TUTORIALS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
