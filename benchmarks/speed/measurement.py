"""Measurement of a command in a fresh process: the ends of its rounds, and its tree's memory."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SECONDS_BETWEEN_LOOKS = 0.2
GROWTH = 1.02
"""The growth of the resident sets after which the proportional set is measured again.

The kernel walks all pages for it, 50 ms for a tree of 1.5 GB: at every observation it would slow
the measured command by a tenth, and more with more memory.
"""


@dataclass
class Measurement:
    """One run of one contestant on one workload.

    Attributes:
        ends: Seconds from the command to the end of each round, from round 1.
        whole: Seconds from the command to its end.
        peak: Largest proportional set of the process tree, bytes.
        accuracy: Accuracy of the last weights on the test set.
        problem: The last line that the command printed, if it failed.
    """

    ends: list[float] = field(default_factory=list)
    whole: float = 0.0
    peak: int = 0
    accuracy: float | None = None
    problem: str = ""

    @property
    def seconds_a_round(self) -> float:
        """Return the median seconds per round, without the first and the last one.

        The first includes one-time work; the last may be followed by an evaluation.
        """
        gaps = [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]
        return statistics.median(gaps[:-1] or gaps)

    def to_json(self) -> dict[str, Any]:
        """Return the values to save."""
        return asdict(self)


Look = Callable[[Measurement, list[int], int], None]
"""Called with the measurement so far, the processes of the tree, and their proportional set."""


def measure(
    command: Sequence[str], folder: Path, look: Look | None = None, limit: float | None = None
) -> Measurement:
    """Run a command that reports its rounds as JSON lines, as ``fedlab run --json`` does.

    Args:
        command: The command.
        folder: Its working directory.
        look: Called several times a second; memory is then measured each time, which slows the
            command.
        limit: Seconds after which the command and all that it started are ended, or None.
    """
    result = Measurement()
    start = time.perf_counter()
    with subprocess.Popen(
        list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
    ) as process:
        looker = threading.Thread(target=_watch, args=(process, result, look), daemon=True)
        looker.start()
        if limit is not None:
            alarm = threading.Timer(limit, _end, [process, result])
            alarm.daemon = True
            alarm.start()
        last = ""
        for line in process.stdout or ():
            _note(line, time.perf_counter() - start, result)
            last = line.strip() or last
        code = process.wait()
        looker.join()
        if limit is not None:
            alarm.cancel()
    result.whole = time.perf_counter() - start
    if (code != 0 or len(result.ends) < 2) and not result.problem:
        result.problem = last or f"exit code {code}"
    return result


def _end(process: subprocess.Popen[str], result: Measurement) -> None:
    """End a command that is over its limit, with all its descendants."""
    result.problem = "it took longer than it was given"
    for number in reversed(_tree(process.pid)):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _note(line: str, seconds: float, result: Measurement) -> None:
    try:
        content = json.loads(line)
    except ValueError:
        return
    if not isinstance(content, dict):
        return
    if content.get("round", 0) > 0 and "baseline" not in content:
        result.ends.append(seconds)
    accuracy = content.get("accuracy", (content.get("test") or {}).get("accuracy"))
    if accuracy is not None:
        result.accuracy = float(accuracy)


def _watch(process: subprocess.Popen[str], result: Measurement, look: Look | None) -> None:
    known = 0
    while process.poll() is None:
        processes = _tree(process.pid)
        resident = sum(_resident_pages(number) for number in processes)
        if look is not None or resident > known * GROWTH:
            known = resident
            held = sum(_proportional_set(number) for number in processes)
            result.peak = max(result.peak, held)
            if look is not None:
                look(result, processes, held)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _tree(root: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _resident_pages(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0


def _proportional_set(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
