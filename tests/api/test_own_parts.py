"""Parts that a program defines itself run on every engine of one machine, without a main guard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fedlab

PROGRAM = Path(__file__).with_name("own_parts.py")


def weights(folder: Path, engine: str, *, stdin: bool = False) -> str:
    """Run the program in a process of its own, elsewhere; return what it prints of the weights."""
    done = subprocess.run(
        [sys.executable, "-" if stdin else str(PROGRAM), engine, str(folder / "run")],
        cwd=folder,
        input=PROGRAM.read_text() if stdin else None,
        env={**os.environ, "PYTHONPATH": str(Path(fedlab.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    word, digest, status, failures = done.stdout.split()[-4:]
    assert (word, status, failures) == ("weights", "finished", "0"), done.stdout + done.stderr
    return digest


@pytest.mark.timeout(300)
def test_parts_of_a_script_give_the_same_bits_inline_and_on_ray(tmp_path: Path) -> None:
    (tmp_path / "inline").mkdir()
    (tmp_path / "ray").mkdir()
    assert weights(tmp_path / "inline", "inline") == weights(tmp_path / "ray", "ray")
    with pytest.raises(fedlab.FedlabError, match="module '__main__' has no 'Blobs', which is the"):
        fedlab.load_run(tmp_path / "ray" / "run").resume()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ["ray", "flower"])
def test_parts_of_a_program_on_standard_input_do_too(tmp_path: Path, engine: str) -> None:
    weights(tmp_path, engine, stdin=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_class_of_a_file_is_found_by_who_resumes_the_run_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "code" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "code" / "mine" / "__init__.py").write_text("")
    (tmp_path / "code" / "mine" / "clients.py").write_text(
        "from fedlab.algorithm.client import ClientAlgorithm\n\n\n"
        "class Mine(ClientAlgorithm):\n    '''Trains as usual.'''\n"
    )
    script = (
        "import sys, fedlab; sys.path.append('code'); from mine.clients import Mine\n"
        "fedlab.run('two-classes', client={'name': Mine, 'epochs': 1}, rounds=1, engine='inline',"
        " path='run', progress=False)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(fedlab.__file__).parent.parent)}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 200}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, **options)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-m", "fedlab", "resume", "../run", "--rounds", "2"]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", **options)
    assert done.returncode == 0, done.stderr
    assert "Own code    mine.clients:Mine" in done.stdout
    with pytest.raises(
        fedlab.FedlabError, match=r"not imported here; fedlab.load_run\(path, trust"
    ):
        fedlab.load_run(tmp_path / "run").model()
    assert fedlab.load_run(tmp_path / "run").status == "finished"
