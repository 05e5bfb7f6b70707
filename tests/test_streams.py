"""Standard streams that nothing printed and no reader ends, and that are kept for machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from fedlab.streams import machine_output


def outcome(program: str, encoding: str = "utf-8", shell: str = "") -> subprocess.CompletedProcess:
    """Run a Python program, or a pipeline that it begins."""
    command = [sys.executable, "-c", program]
    if shell:
        command = ["bash", "-c", f'set -o pipefail; "$0" -c "$1" {shell}', sys.executable, program]
    environment = {"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"}
    environment |= {"PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, capture_output=True, env=environment)


def test_characters_that_cannot_be_shown_are_replaced() -> None:
    program = "from fedlab.streams import forgive_encodings as f; f(); print('2 × µ', '\\udce9')"
    ended = outcome(program, "ascii")
    assert (ended.returncode, ended.stdout) == (0, b"2 ? ? \xe9\n")


LONG = """
import sys
from fedlab.streams import lasting_output
with lasting_output():
    for number in range(20_000):
        print("round", number, "×")
    print("whole", file=sys.stderr)
"""


def test_what_is_printed_outlasts_its_reader() -> None:
    ended = outcome(LONG, shell="| head -1")
    assert ended.returncode == 0
    assert ended.stdout == b"round 0 \xc3\x97\n"
    assert ended.stderr == b"whole\n"


NOISY = """
import os, subprocess, sys
from fedlab.streams import machine_output
with machine_output(True) as stream:
    print("from Python")
    os.system("echo from a process")
    os.write(1, b"from a library\\n")
    stream.write('{"round": 1}\\n')
print("after")
"""


def test_nothing_but_json_reaches_a_machine() -> None:
    ended = outcome(NOISY)
    assert ended.stdout == b'{"round": 1}\nafter\n'
    for line in (b"from Python", b"from a process", b"from a library"):
        assert line in ended.stderr.splitlines()


def test_a_caught_standard_output_is_kept_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with machine_output(True) as stream:
        print("a client's word")
        stream.write("{}")
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {}
    assert printed.err == "a client's word\n"
    with machine_output(False) as stream:
        assert stream is sys.stdout
