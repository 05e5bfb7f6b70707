"""The page of results: the cost of large populations, long runs and large models."""

from __future__ import annotations

import statistics
from typing import Any

HEAD = """# Scale

Measured with `python -m benchmarks.scale`, every run in a fresh process. Populations are held
against each other with the same cohort in one process (`inline`), by its processor time, which
other work on the machine disturbs little; figures are medians over the repeats. Long runs and large
models run on two Ray workers; memory is then the proportional set of the whole process tree.
"""
POPULATIONS = {
    "virtual": "Virtual clients of Fashion-MNIST (Dirichlet), 100 a round",
    "made-up": "Made-up clients, 100 a round",
}
LONG = {
    "rounds": "Many rounds: W3 (1,000 clients, 100 a round, MLP)",
    "parameters": "Many parameters: ViT-Base (86 M) over 4 clients, batches of 8 at 64 px",
}
COSTS = ("setup", "round", "draw", "peak")

Run = dict[str, Any]


def page(content: dict[str, Any]) -> str:
    """Return the Markdown page of all runs."""
    about = content["machine"]
    lines = [
        HEAD,
        f"{about['processor']}; {about['versions']}; commit {about['commit']}, {about['date']}; "
        f"load average at the start {about['load']}.",
    ]
    for check, title in (POPULATIONS | LONG).items():
        runs = [run for run in content["runs"] if run["check"] == check]
        if runs:
            section = _populations if check in POPULATIONS else _long
            lines += ["", f"## {title}", "", *section(runs)]
    return "\n".join(lines) + "\n"


def _populations(runs: list[Run]) -> list[str]:
    lines = [
        "| clients | setting up | a round | of it drawing the cohort | memory |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    medians = []
    for clients in sorted({run["clients"] for run in runs}):
        own = [run for run in runs if run["clients"] == clients]
        good = [run for run in own if not run["problem"]]
        if not good:
            lines.append(f"| {clients:,} | failed: {own[-1]['problem'][:80]} | | | |")
            continue
        setup, seconds, draw, peak = (_median(good, cost) for cost in COSTS)
        medians.append((seconds, peak))
        lines.append(
            f"| {clients:,} | {setup:.1f} s | {seconds * 1e3:.0f} ms | {draw * 1e3:.1f} ms "
            f"| {peak / 1e6:.0f} MB |"
        )
    if len(medians) == 2:
        (seconds, peak), (more_seconds, more_peak) = medians
        lines += [
            "",
            f"The larger population by the smaller: time × {more_seconds / seconds:.2f}, memory × "
            f"{more_peak / peak:.2f}.",
        ]
    return lines


def _long(runs: list[Run]) -> list[str]:
    good = [run for run in runs if not run["problem"]]
    if not good:
        return [f"Failed: {runs[-1]['problem'][:80]}"]
    lines = [
        f"{good[0]['rounds']} rounds, {_median(good, 'whole'):.0f} s from command to end; most "
        f"memory {max(run['peak'] for run in good) / 1e9:.2f} GB."
    ]
    if good[0]["growth"] is not None:
        lines.append(
            f"Memory grew by {_median(good, 'growth') / 1e3:.0f} kB a round (standard error "
            f"{_median(good, 'growth_error') / 1e3:.0f} kB)."
        )
    return lines


def _median(runs: list[Run], key: str) -> float:
    return statistics.median(float(run[key]) for run in runs)
