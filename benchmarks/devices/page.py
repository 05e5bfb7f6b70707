"""The page of what a device does: checks, and speed beside others."""

from __future__ import annotations

import statistics
import tomllib
from typing import Any

from benchmarks.devices.speed import CONTESTANTS, PLAIN, WORKLOADS
from benchmarks.speed.measurement import Measurement

HEAD = """# On a device

Made by `python -m benchmarks.devices` on {card}.
{processor}; {versions}; commit {commit}, {date}.
"""
CHECKS = {
    "parity": """## Parity with the CPU

Two rounds of four clients on the CPU and on the device. The figure is the distance between the two
ends over the distance that training went; up to 1 % counts as float tolerance.
""",
    "determinism": """## The same bits

Four rounds of eight clients by fedlab's defaults, from the command line; digests of the weights.
""",
    "memory": """## Memory

What a client is told whose batch does not fit, where a process may take 1.5 GB of the card.
""",
}
SPEED = """## Speed

Every run is a fresh process; contestants take turns on the same clients, model, steps and learning
rate, in float32 without TF32. A ratio is a contestant's median seconds a round by the plain PyTorch
loop's of the same repeat: the median over the repeats and, in brackets, the least and the greatest.
The plain loop keeps its data on the device and federates nothing. fedlab computes by deterministic
algorithms unless a line says that bits may differ; the plain loop does not. Device memory is what
the card's driver counts, contexts and caches included. A run that is missing did not fit into the
time that the page was given.
"""
MARKS = {True: "yes", False: "**no**", None: "–"}


def page(content: dict[str, Any]) -> str:
    """Return the Markdown page of all that is known."""
    lines = [HEAD.format(**content["machine"])]
    for section, head in CHECKS.items():
        cases = content["checks"].get(section, {})
        if cases:
            rows = [f"| {n} | {MARKS[c['ok']]} | {_cell(c['says'])} |" for n, c in cases.items()]
            lines += [head, "| | holds | |", "| --- | --- | --- |", *rows, ""]
    if content["runs"]:
        lines.append(SPEED)
        for workload in WORKLOADS:
            own = [run for run in content["runs"] if run["workload"] == workload]
            if own:
                lines += [*_workload(workload, own), ""]
    return "\n".join(lines)


def _workload(workload: str, runs: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"### {tomllib.loads(WORKLOADS[workload].read_text())['title']}",
        "",
        "| | a round, × plain | seconds a round | to the first round | device memory | memory "
        "| runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    base = {
        run["repeat"]: _measured(run).seconds_a_round
        for run in runs
        if run["contestant"] == PLAIN and not run["problem"]
    }
    for contestant in CONTESTANTS:
        own = [run for run in runs if run["contestant"] == contestant]
        if own:
            lines.append(_row(contestant, own, base))
    return lines


def _row(contestant: str, own: list[dict[str, Any]], base: dict[int, float]) -> str:
    good = [run for run in own if not run["problem"]]
    if not good:
        return f"| {contestant} | failed: {_cell(own[-1]['problem'][:80])} | | | | | {len(own)} |"
    measured = [_measured(run) for run in good]
    ratios = [
        m.seconds_a_round / base[run["repeat"]]
        for run, m in zip(good, measured, strict=True)
        if run["repeat"] in base
    ]
    spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if len(ratios) > 1 else ""
    ratio = f"**{statistics.median(ratios):.2f}**{spread}" if ratios else "–"
    peaks = [run["device_peak"] for run in good if run.get("device_peak") is not None]
    return (
        f"| {contestant} | {ratio} "
        f"| {statistics.median(m.seconds_a_round for m in measured):.4f} "
        f"| {statistics.median(m.ends[0] for m in measured):.1f} s "
        f"| {f'{max(peaks) / 1e9:.2f} GB' if peaks else '–'} "
        f"| {max(m.peak for m in measured) / 1e9:.2f} GB | {len(good)} |"
    )


def _measured(run: dict[str, Any]) -> Measurement:
    return Measurement(**{n: run[n] for n in ("ends", "whole", "peak", "accuracy", "problem")})


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
