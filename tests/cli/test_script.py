"""The ``fedlab`` script as a process: what must still happen although it ends at once."""

import subprocess
import sys

import pytest

LAST = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from fedlab.cli import script
atexit.register(print, "registered for the end")
threading.Thread(target=lambda: (time.sleep(0.3), print("a thread's last word"))).start()
ThreadPoolExecutor(1).submit(print, "from a pool")
sys.argv = ["fedlab", *sys.argv[1:]]
script()
"""


@pytest.mark.parametrize(("word", "code"), [("--version", 0), ("--versoin", 2)])
def test_the_script_waits_for_threads_and_exit_hooks(word: str, code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", LAST, word], capture_output=True, text=True)
    assert ended.returncode == code
    for line in ("from a pool", "a thread's last word", "registered for the end"):
        assert line in ended.stdout.splitlines()
    assert ("error: " in ended.stderr) == (code == 2)


def test_the_script_fails_when_its_output_could_not_be_written() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", LAST, "--version"]
        assert subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL).returncode
