"""What a card does, in under eight minutes: ``python -m benchmarks.devices``.

It checks parity with the CPU, that bits are the same, and what happens where memory runs out, and
measures speed beside others. Each section has a time of its own, and each result is written when it
is there: ``docs/results/devices.json`` holds them, ``devices.md`` is made of them, and a session
that was cut off goes on where it ended. Where there is no card it says so and leaves the page as it
is. ``--device cpu --quick`` goes through all of it on any machine, in tiny sizes; the page is then
written where ``--out`` says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.devices import speed
from benchmarks.devices.page import page
from benchmarks.speed.table import machine
from fedlab.engine import devices
from fedlab.errors import FedlabError
from fedlab.files import write_whole

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
BUDGETS = {"parity": 75.0, "determinism": 115.0, "memory": 35.0}
"""Seconds of each section of checks; what they leave of the whole is for speed."""
WHOLE = 470.0


def main() -> int:
    """Check and measure; return 0, or 1 where a check does not hold."""
    arguments = _arguments()
    device = _device(arguments.device)
    if device is None:
        print("There is no accelerator on this machine, so nothing was checked or measured.")
        return 0
    out = _folder(arguments.out, device)
    file = out / "devices.json"
    end = time.monotonic() + arguments.seconds
    content = _known(file, {**machine(ROOT), "card": _named(device)}, arguments.fresh)
    for section in arguments.sections:
        if section == "speed":
            for line in speed.runs(device, arguments.quick, end, content["runs"]):
                content["runs"].append(line)
                _keep(content, out, line)
            continue
        cases = content["checks"].setdefault(section, {})
        if _is_complete(cases):
            continue
        limit = min(BUDGETS[section], end - time.monotonic())
        for line in _checks(section, device, arguments.quick, limit):
            cases[line.pop("case")] = line
            _keep(content, out, {"section": section, **line})
    print(f"Page   {out / 'devices.md'}")
    checked = [case for cases in content["checks"].values() for case in cases.values()]
    return 1 if any(case["ok"] is False for case in checked) else 0


def _device(wanted: str) -> str | None:
    """Return the device that is asked for; None where "auto" finds no accelerator."""
    found = devices.resolved(wanted, "--device")
    return None if found == devices.CPU and wanted == devices.AUTO else str(found)


def _folder(wanted: Path | None, device: str) -> Path:
    """Return where the page goes: of the CPU, which needs none, to a folder of its own."""
    if wanted is None:
        wanted = Path(tempfile.mkdtemp(prefix="devices-")) if device == "cpu" else RESULTS
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def _named(device: str) -> str:
    found = next((d for d in devices.described() if d.name == device), None)
    return f"{found.model} ({device})" if found and found.model else device


def _known(file: Path, about: dict[str, str], fresh: bool) -> dict[str, Any]:
    """Return earlier results of this card and commit; others do not belong on one page."""
    empty: dict[str, Any] = {"machine": about, "checks": {}, "runs": []}
    if fresh or not file.exists():
        return empty
    found: dict[str, Any] = json.loads(file.read_text())
    same = all(found["machine"].get(key) == about[key] for key in ("card", "commit", "versions"))
    return {**found, "machine": about} if same else empty


ENDED = "(the whole section)"


def _is_complete(cases: dict[str, Any]) -> bool:
    return bool(cases) and ENDED not in cases


def _checks(section: str, device: str, quick: bool, limit: float) -> Iterator[dict[str, Any]]:
    """Yield the lines of a section, which runs in a process of its own.

    One more line says so where it did not end, or not in time.
    """
    asked = [sys.executable, "-m", "benchmarks.devices.checks", section, device]
    with subprocess.Popen(
        [*asked, *(["--quick"] if quick else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    ) as process:
        alarm = threading.Timer(max(limit, 1.0), process.kill)
        alarm.start()
        start, last = time.monotonic(), ""
        for text in process.stdout or ():
            last = text.strip() or last
            if text.startswith("{"):
                yield json.loads(text)
        alarm.cancel()
        code = process.wait()
    if code:
        late = time.monotonic() - start >= limit
        says = f"cut off after {limit:.0f} s" if late else f"ended early: {last[:200]}"
        yield {"case": ENDED, "ok": None if late else False, "says": says}


def _keep(content: dict[str, Any], out: Path, line: dict[str, Any]) -> None:
    """Write all that is known, and print what is new."""
    print(json.dumps(line), flush=True)
    write_whole(out / "devices.json", (json.dumps(content, indent=1) + "\n").encode())
    write_whole(out / "devices.md", page(content).encode())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__)
    sections = (*BUDGETS, "speed")
    parser.add_argument("--device", default=devices.AUTO, help="as engine.device; default: a card")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script itself")
    parser.add_argument("--out", type=Path, help="where the page goes; default: docs/results")
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections)
    parser.add_argument("--seconds", type=float, default=WHOLE, help="for all of it")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedlabError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
