"""The page of results: ratios to the ideal, memory, start-up, accuracy."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.speed.measurement import Measurement

IDEAL = "plain × 2"
WHOLE_JOBS = {"w5": "Flower"}
HEAD = """# Speed and memory

Measured with `python -m benchmarks.speed`, which runs every contestant in fresh processes, taking
turns, on the same clients, model, steps and learning rate, and evaluates only at the end. *Ideal*
is a plain PyTorch loop over the same clients in two processes of one thread, without any
federation ("plain × 2"). A ratio is a contestant's median seconds a round by the ideal's of the
same repeat: the median over the repeats, and in brackets the least and the greatest. Seconds to
the first round count from the command, imports and data included; memory is the largest
proportional set of the whole process tree. The workloads are the scenarios in
`benchmarks/speed/scenarios/`.
"""


def machine(root: Path) -> dict[str, str]:
    """Return what the figures were measured on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    commit = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "flwr", "ray", "numpy"))
    return {
        "processor": f"{cpu}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, {packages}",
        "commit": commit,
        "date": date.today().isoformat(),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def page(content: dict[str, Any], workloads: Iterable[str], contestants: Sequence[str]) -> str:
    """Return the Markdown page of all runs."""
    about = content["machine"]
    lines = [
        HEAD,
        f"{about['processor']}; {about['versions']}; commit {about['commit']}, {about['date']}.",
        "",
    ]
    for workload in workloads:
        runs = [run for run in content["runs"] if run["workload"] == workload]
        if runs:
            lines += [*_section(workload, runs, contestants), ""]
    return "\n".join(lines)


def _section(workload: str, runs: list[dict[str, Any]], contestants: Sequence[str]) -> list[str]:
    scenario = Path(__file__).parent / "scenarios" / f"{workload}.toml"
    base = WHOLE_JOBS.get(workload, IDEAL)
    what = "whole job" if workload in WHOLE_JOBS else "a round"
    lines = [
        f"## {tomllib.loads(scenario.read_text())['title']}",
        "",
        f"| | {what}, × {base} | seconds a round | to the first round | whole job | memory "
        "| accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for contestant in contestants:
        own = [run for run in runs if run["contestant"] == contestant]
        if own:
            lines.append(_row(contestant, own, [r for r in runs if r["contestant"] == base], what))
    return lines


def _row(contestant: str, own: list[dict[str, Any]], base: list[dict[str, Any]], what: str) -> str:
    good = [_measured(run) for run in own if not run["problem"]]
    if not good:
        return f"| {contestant} | failed: {own[-1]['problem'][:80]} | | | | | |"
    figure = (lambda m: m.whole) if what == "whole job" else (lambda m: m.seconds_a_round)
    by_repeat: dict[int, list[float]] = {}
    for run in base:
        if not run["problem"]:
            by_repeat.setdefault(run["repeat"], []).append(figure(_measured(run)))
    ratios = [
        figure(_measured(run)) / statistics.median(by_repeat[run["repeat"]])
        for run in own
        if not run["problem"] and run["repeat"] in by_repeat
    ]
    spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else ""
    ratio = f"**{statistics.median(ratios):.2f}**{spread}" if ratios else "-"
    accuracies = [m.accuracy for m in good if m.accuracy is not None]
    text = f"{statistics.median(accuracies):.3f}" if accuracies else "-"
    return (
        f"| {contestant} | {ratio} "
        f"| {statistics.median(m.seconds_a_round for m in good):.4f} "
        f"| {statistics.median(m.ends[0] for m in good):.1f} s "
        f"| {statistics.median(m.whole for m in good):.1f} s "
        f"| {max(m.peak for m in good) / 1e9:.2f} GB "
        f"| {text} |"
    )


def _measured(run: dict[str, Any]) -> Measurement:
    names = ("ends", "whole", "peak", "accuracy", "problem")
    return Measurement(**{name: run[name] for name in names})
