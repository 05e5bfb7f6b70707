"""The guides are true: their files and commands work, in the order in which they give them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import fedlab

DOCS = Path(fedlab.__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "guide",
    [
        "writing-a-strategy",
        pytest.param("writing-an-update-processor", marks=pytest.mark.slow),
        pytest.param("a-data-set-in-code", marks=pytest.mark.slow),
    ],
)
def test_a_guides_files_and_commands_work_in_order(tmp_path: Path, guide: str) -> None:
    # No PYTHONPATH but that of the tests themselves, where they have one: modules are found beside
    # the scenario.
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    commands = 0
    for language, name, content in BLOCK.findall((DOCS / f"{guide}.md").read_text()):
        if language == "sh":
            for line in content.splitlines():
                done = subprocess.run(
                    shlex.split(line),
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
                commands += 1
        else:
            assert name, f"a block of {language} does not say its file"
            with (tmp_path / name).open("a") as file:
                file.write(("\n\n" if file.tell() else "") + content)
    assert commands >= 3
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "summary.json").exists()


@pytest.mark.slow
def test_the_page_on_pictures_goes_from_a_folder_to_a_prediction(tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FEDLAB_CACHE": str(tmp_path / "cache"),
    }
    said = {}
    for language, name, content in BLOCK.findall((DOCS / "pictures.md").read_text()):
        if language == "python":
            (tmp_path / name).write_text(content)
        for line in content.splitlines() if language == "sh" else ():
            words = shlex.split(line)
            if "RUN" in words:
                (run,) = (tmp_path / "runs").iterdir()
                words[words.index("RUN")] = str(run)
            done = subprocess.run(
                words,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            said[" ".join(words[:2])] = done.stdout
    assert "<site>/<class>" in said["fedlab data"]
    assert "Test accuracy of 3 sites: from" in said["fedlab show"]
    assert "digit 3" in said["fedlab predict"]
