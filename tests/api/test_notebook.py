"""In the kernel of a notebook: cells' own parts, what is shown, and interrupted cells."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import fedlab
from fedlab.api.notebook import run_html
from fedlab.results.reading import RunRecord

PROGRAM = Path(__file__).with_name("own_parts.py")
LONG = (
    "run = fedlab.run(data={'name': 'iris', 'partition': {'name': 'iid', 'clients': 3}},"
    " model={'name': 'mlp', 'hidden': [4]}, rounds=100_000, evaluation={'every': 1000},"
    " engine={'name': ENGINE}, path='run')"
)


class Notebook:
    """A notebook whose cells are run one by one in a kernel of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(
            self.notebook, timeout=240, resources={"metadata": {"path": str(folder)}}
        )

    def run(self, code: str) -> list[Any]:
        """Run a cell; return its outputs."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(code))
        return list(
            self.client.execute_cell(self.notebook.cells[-1], len(self.notebook.cells) - 1).outputs
        )

    def said(self, code: str) -> str:
        """Run a cell; return what it prints on standard output."""
        return "".join(
            output["text"] for output in self.run(code) if output.get("name") == "stdout"
        )


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("PYTHONPATH", str(Path(fedlab.__file__).parent.parent))
    found = Notebook(tmp_path)
    with found.client.setup_kernel():
        yield found


def cells(engine: str, folder: str) -> list[str]:
    """Return the program with parts of its own, each class in a cell of its own."""
    first, *classes = PROGRAM.read_text().split("\n\n\nclass ")
    last, _, run = classes.pop().partition("\n\n\nrun =")
    first = first.replace("sys.argv[1:]", repr((engine, folder)))
    return [first, *(f"class {text}" for text in [*classes, last]), f"run ={run}"]


@pytest.mark.timeout(300)
def test_a_run_shows_itself_and_an_interrupted_cell_stops_after_the_round(
    notebook: Notebook,
) -> None:
    notebook.run("import os, fedlab; ENGINE = 'inline'")
    interrupt_after_rounds(notebook, int(notebook.said("print(os.getpid())")))
    shown = notebook.run(LONG)
    kinds = {output["output_type"] for output in shown}
    assert "error" not in kinds
    page = next(o["data"]["text/html"] for o in shown if "text/html" in o.get("data", {}))
    assert "of 100000" in page
    assert "resume() continues" in page
    (result,) = notebook.run("run")
    assert "<Run run: stopped" in result["data"]["text/plain"]
    assert result["data"]["text/html"].count("<svg") == 2
    with pytest.raises(CellExecutionError):
        notebook.run("fedlab.Scenario('fedavg', round=3)")
    (refused,) = notebook.notebook.cells[-1].outputs
    assert refused["traceback"] == [
        "FedlabErrors: argument round: there is no such key. Did you mean 'rounds'?"
    ]
    (plot,) = notebook.run("run.plot()")
    assert "image/png" in plot["data"]
    done = int(notebook.said("print(run.summary['rounds'])"))
    assert done >= 2
    notebook.run(f"run.resume(rounds={done + 3}, progress=False)")
    assert notebook.said("print(run.status, len(run.metrics))") == f"finished {done + 4}\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_parts_in_cells_run_on_ray_which_outlives_an_interrupt(notebook: Notebook) -> None:
    *definitions, run = cells("ray", "own")
    for code in definitions:
        notebook.run(code)
    said = notebook.said(run)
    assert "finished 0" in said
    assert not [o for o in notebook.notebook.cells[-1].outputs if o.get("name") == "stderr"]
    # A class that is defined again is the one that counts, also in workers that run already.
    strategy = next(code for code in definitions if code.startswith("class Half("))
    client = next(code for code in definitions if code.startswith("class Pulled("))
    notebook.run(client.replace("self.settings.pull", "9 * self.settings.pull"))
    changed = notebook.said(run.replace("FOLDER", "'changed'"))
    assert "finished 0" in changed
    assert changed != said
    notebook.run(client)
    notebook.run(strategy)
    interrupt_after_rounds(notebook, int(notebook.said("import os; print(os.getpid())")))
    notebook.run(LONG)
    assert notebook.said("print(run.status)") == "stopped\n"
    last = notebook.said(run.replace("FOLDER", "'last'"))
    assert last == said


def interrupt_after_rounds(notebook: Notebook, process: int, count: int = 3) -> None:
    """Interrupt the kernel as a notebook's stop button does, once so many rounds are done."""
    lines = notebook.folder / "run" / "metrics.jsonl"

    def wait() -> None:
        until = time.monotonic() + 240
        while time.monotonic() < until:
            if lines.exists() and lines.read_text().count("\n") >= count:
                os.killpg(os.getpgid(process), signal.SIGINT)
                return
            time.sleep(0.05)

    threading.Thread(target=wait, daemon=True).start()


def test_what_is_shown_of_a_run_is_text_and_no_markup(tmp_path: Path) -> None:
    from tests.shared import SMALL

    run = fedlab.run(SMALL, title="<b>5 & 6</b>", path=tmp_path / "run", progress=False, rounds=1)
    page = run_html(RunRecord.load(run.path))
    assert "&lt;b&gt;5 &amp; 6&lt;/b&gt;" in page
    assert "<b>" not in page
    assert page.count("<svg") == 2
