"""The script that checks and measures a card, as far as a machine without one can say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.devices import __main__ as script
from benchmarks.devices import speed
from benchmarks.devices.page import page
from benchmarks.speed.measurement import measure

ABOUT = {
    "card": "a card",
    "processor": "a processor",
    "versions": "torch 2",
    "commit": "abc",
    "date": "2026-11-30",
}


def run_of(contestant: str, repeat: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "workload": "w1",
        "contestant": contestant,
        "repeat": repeat,
        "ends": [1.0, 1.0 + seconds, 1.0 + 2 * seconds],
        "whole": 5.0,
        "peak": 10**9,
        "accuracy": 0.5,
        "problem": "",
        "device_peak": 2 * 10**9,
        **more,
    }


def test_the_page_has_ratios_to_the_plain_loop_of_the_same_repeat() -> None:
    runs = [run_of("plain", 0, 2.0), run_of("fedlab", 0, 1.0)]
    runs += [run_of("plain", 1, 1.0), run_of("fedlab", 1, 0.6)]
    runs.append(run_of("Flower", 0, 1.0, problem="no room"))
    checks = {"parity": {"MLP": {"ok": False, "says": "0.5 of the way | far"}}}
    text = page({"machine": ABOUT, "checks": checks, "runs": runs})
    assert "| fedlab | **0.55** (0.50-0.60) | 0.8000 | 1.0 s | 2.00 GB | 1.00 GB | 2 |" in text
    assert "| Flower | failed: no room |" in text
    assert "| MLP | **no** | 0.5 of the way \\| far |" in text


def test_without_a_card_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["devices", "--out", str(tmp_path / "page")])
    monkeypatch.setattr(script.devices, "names", lambda: ["cpu"])
    assert script.main() == 0
    assert capsys.readouterr().out.startswith("There is no accelerator on this machine")
    assert not list(tmp_path.iterdir())


def test_results_of_another_card_are_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "devices.json"
    runs = [run_of("plain", 0, 1.0)]
    file.write_text(json.dumps({"machine": ABOUT, "checks": {}, "runs": runs}))
    assert script._known(file, {**ABOUT, "date": "later"}, fresh=False)["runs"] == runs
    assert not script._known(file, {**ABOUT, "card": "other"}, fresh=False)["runs"]
    assert not script._known(file, ABOUT, fresh=True)["runs"]


def test_nothing_is_begun_that_would_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(speed, "_run", lambda asked, *rest: begun.append(asked) or {"whole": 0.0})
    monkeypatch.setattr(speed.time, "monotonic", lambda: 100.0)
    assert not list(speed.runs("cuda:0", False, 100.0 + speed.EXPECTED - 1, []))
    assert not begun
    known = [{**run_of("fedlab", 0, 1.0), "workload": name} for name in speed.WORKLOADS]
    found = list(speed.runs("cuda:0", False, 110.0, known))
    assert {(line["contestant"], line["repeat"]) for line in found} == {
        ("fedlab", repeat) for repeat in range(1, 5)
    }


def test_a_command_over_its_limit_is_ended_with_what_it_started() -> None:
    sleep = "import time; time.sleep(99)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{sleep}'])"
    result = measure([sys.executable, "-c", child], Path(), limit=1.0)
    assert result.problem == "it took longer than it was given"


@pytest.mark.slow
def test_all_of_it_goes_through_on_the_cpu_in_tiny_sizes(tmp_path: Path) -> None:
    asked = ["--device", "cpu", "--quick", "--out", str(tmp_path), "--seconds", "900"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.devices", *asked],
        cwd=script.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "devices.json").read_text())
    assert set(content["checks"]) == set(script.BUDGETS)
    assert not [run for run in content["runs"] if run["problem"]]
    assert {run["workload"] for run in content["runs"]} == set(speed.WORKLOADS)
    text = (tmp_path / "devices.md").read_text()
    assert "| fedlab, clients one by one | **" in text
