"""A run as a whole, for its page: everything but the curves and the rounds one by one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError, one_line
from fedlab.files import without_home
from fedlab.results.headings import pairs_of, subtitle, tiles
from fedlab.results.parsing import read_bytes
from fedlab.results.reading import RunRecord
from fedlab.results.rows import Confusion
from fedlab.results.text_tables import TextTable
from fedlab.ui.outline import state_of
from fedlab.ui.rounds import table_json
from fedlab.ui.series import charts
from fedlab.ui.watching import WatchedRun

SHOWN_FILES = (
    *(files.REPORT, files.SHARED_REPORT, files.SCENARIO, files.ENVIRONMENT, files.PARTITION),
    *(files.TASK, files.DATA, files.NOTES, files.CHANGES, files.FORK, files.DEPLOYMENT),
    *(files.ATTACK, files.METRICS, files.CLIENTS, files.FAILURES, files.BASELINES),
    *(files.CONFUSION, files.CROSS_SITE, files.CROSSVAL, files.SUMMARY, files.ERROR),
)
"""The files of a run that the page links to; weights are not among them."""
MOST_FAILURES = 50
MOST_ERROR = 20_000
"""Letters of a traceback that are shown."""


def overview(run: WatchedRun, writer: str) -> dict[str, Any]:
    """Return what the page shows of a run.

    Args:
        run: The run.
        writer: Which process writes it, or an empty string.

    Raises:
        FedlabError: If it is gone, or a file in it is damaged.
    """
    record = run.record()
    state, why = state_of(record.summary, writer)
    partition = record.partition
    return {
        "name": record.name.encode(errors="replace").decode(),
        "title": record.title.encode(errors="replace").decode(),
        "subtitle": subtitle(record),
        "state": state,
        "why": why,
        "rounds": record.scenario.rounds,
        "last": record.rounds[-1].round if record.rounds else None,
        "tiles": [asdict(tile) for tile in run.derived(tiles)],
        "charts": run.derived(charts),
        "notes": record.notes,
        "changes": record.changes,
        "fork": _fork(record),
        "clients": partition.clients if partition else 0,
        "confusion": _confusion(record.confusion),
        "failures": _failures(record),
        "error": _error(record.path),
        "scenario": record.scenario_text,
        "environment": pairs_of(record.environment),
        "files": _files(record.path),
    }


def partition_of(record: RunRecord) -> dict[str, Any]:
    """Return who holds what; empty where the run has not written it yet."""
    found = record.partition
    if found is None:
        return {}
    every = found.described.every if found.described else 1
    sizes = sorted(found.sizes)
    some = f"; {len(sizes):,} of them are described" if found.described else ""
    return {
        "lead": (
            f"{found.clients:,} clients by “{one_line(found.partitioner, 60)}”{some}, "
            f"{sum(sizes):,} examples: {sizes[0]:,} to {sizes[-1]:,} a client, "
            f"{sizes[len(sizes) // 2]:,} in the middle."
        ),
        "every": every,
        "sizes": found.sizes,
        "names": found.names,
        "labels": found.labels,
        "counts": found.counts,
    }


def _fork(record: RunRecord) -> str:
    """Return what the run goes on from. That run may be anywhere: it is not looked at."""
    if record.fork is None:
        return ""
    name = one_line(Path(record.fork.of).name, 120)
    return f"goes on from {name} after round {record.fork.round}"


def _confusion(found: Confusion | None) -> dict[str, Any] | None:
    if found is None or not found.matrix:
        return None
    right = sum(found.matrix[place][place] for place in range(len(found.matrix)))
    total = sum(map(sum, found.matrix))
    taken = [sum(column) for column in zip(*found.matrix, strict=True)]
    rows = [
        [
            one_line(label, 80),
            f"{sum(row):,}",
            _share(row[place], sum(row)),
            _share(row[place], taken[place]),
        ]
        for place, (label, row) in enumerate(zip(found.labels, found.matrix, strict=True))
    ]
    headers = ["class", "examples", "recall", "precision"]
    return {
        "lead": f"{right:,} of {total:,} test examples are classified correctly.",
        "labels": [one_line(label, 80) for label in found.labels],
        "matrix": found.matrix,
        "classes": table_json(TextTable("Each class", headers, rows)),
    }


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}\u00a0%" if whole else "–"


def _failures(record: RunRecord) -> dict[str, Any]:
    from fedlab.results.report.tables import failure_tables

    if not record.failures:
        return {"count": 0, "reasons": None, "newest": []}
    reasons = failure_tables(record)[0]
    return {
        "count": len(record.failures),
        "reasons": table_json(TextTable(reasons.title, reasons.headers, reasons.rows)),
        "newest": [
            {
                "round": failure.round,
                "client": failure.client,
                "phase": one_line(failure.phase, 40),
                "reason": one_line(failure.reason, 400),
                "traceback": (failure.traceback or "")[-MOST_ERROR:],
            }
            for failure in reversed(record.failures[-MOST_FAILURES:])
        ],
    }


def _error(path: Path) -> str:
    """Return the traceback that ended a run, if one did."""
    content = read_bytes(path / files.ERROR)
    return without_home(content.decode(errors="replace")[-MOST_ERROR:]) if content else ""


def _files(path: Path) -> list[dict[str, Any]]:
    """Return the files of a run that may be looked at, with their sizes."""
    plots = sorted((path / files.PLOTS).glob("*.png"))
    named = [*SHOWN_FILES, *(f"{files.PLOTS}/{plot.name}" for plot in plots)]
    found = []
    for name in named:
        try:
            found.append({"name": name, "bytes": (path / name).stat().st_size})
        except OSError:
            continue
    return found


def shown_file(path: Path, name: str) -> bytes:
    """Return the content of a file that the page links to.

    Raises:
        FedlabError: If it is none of these, or is not there.
    """
    folder, _, plot = name.rpartition("/")
    is_plot = folder == files.PLOTS and plot.endswith(".png") and not plot.startswith(".")
    if name not in SHOWN_FILES and not is_plot:
        raise FedlabError("the live view shows no such file")
    content = read_bytes(path / name)
    if content is None:
        raise FedlabError(f"this run has no {name} any more")
    return content
