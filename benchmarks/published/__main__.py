"""Reproduce a published table: ``python -m benchmarks.published TABLE``.

A table is a file in ``benchmarks/published/tables``. Every cell is an ordinary run, whose folder is
``runs/published/TABLE/CELL/``: finished runs are read, interrupted ones are resumed, the rest is
started. After each cell ``docs/results/TABLE.json`` and ``TABLE.md`` are written again, so that a
table can be filled over many sessions.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.published.curves import draw
from benchmarks.published.page import page
from benchmarks.published.running import Interrupted, result_of
from benchmarks.published.table import Cell, Place, Table, cells_of, load_table, names
from benchmarks.speed.table import machine
from fedlab.errors import FedlabError
from fedlab.files import write_whole

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "docs" / "results"


def main() -> None:
    """Run the requested cells, and write the page."""
    arguments = _arguments()
    try:
        table = load_table(arguments.table)
        cells = cells_of(table, arguments.seeds or table.seeds)
        wanted = [cell for cell in cells if all(part in cell.name for part in arguments.only)]
        if arguments.missing:
            known = [_place(result) for result in load_results(arguments.table, RESULTS)]
            wanted = [cell for cell in wanted if cell.place not in known]
        if arguments.inline:
            wanted = [replace(c, overrides=(*c.overrides, "engine.name=inline")) for c in wanted]
        if arguments.list:
            print("\n".join(cell.name for cell in wanted))
            return
        if arguments.page_only:
            write(arguments.table, table, load_results(arguments.table, RESULTS), RESULTS)
            return
        run_table(arguments.table, table, wanted, arguments.runs, RESULTS)
    except FedlabError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except Interrupted:
        print("Stopped. Run the same command again to continue.", file=sys.stderr)
        sys.exit(130)


def run_table(name: str, table: Table, cells: list[Cell], runs: Path, folder: Path) -> None:
    """Run cells one after the other; write the results after each.

    Args:
        name: The table's name.
        table: The table.
        cells: The runs to do.
        runs: The folder for run folders, under the table's and the cell's name.
        folder: The folder of the page.
    """
    results = load_results(name, folder)
    for number, cell in enumerate(cells, start=1):
        result = result_of(table, cell, runs / name, ROOT)
        results = [*(r for r in results if _place(r) != cell.place), result]
        write(name, table, results, folder)
        text = result["figure"] if result["figure"] is not None else result["reason"] or "no figure"
        print(
            f"{number}/{len(cells)} {cell.name}: {text} ({result['status']}, {result['rounds']} "
            f"rounds, {result['seconds']:.0f} s)",
            flush=True,
        )


def _place(result: dict[str, Any]) -> Place:
    """Return the place of a result in the table."""
    keys = ("group", "row", "column", "seed", "value")
    group, row, column, seed, value = (result.get(key) for key in keys)
    return str(group), str(row), str(column), seed or 0, value


def load_results(name: str, folder: Path) -> list[dict[str, Any]]:
    """Return the saved results of a table."""
    file = folder / f"{name}.json"
    known: list[dict[str, Any]] = json.loads(file.read_text())["runs"] if file.is_file() else []
    return known


def write(name: str, table: Table, results: list[dict[str, Any]], folder: Path) -> None:
    """Write a table's results, page and curves, without runs of rows that were removed from it.

    Runs are in the order of the table, so that the files do not depend on the order of execution.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(row.group, row.name) for row in table.rows]
    columns = [column.name for column in table.columns]
    kept = [r for r in results if (r["group"], r["row"]) in rows and r["column"] in columns]
    kept.sort(
        key=lambda r: (
            rows.index((r["group"], r["row"])),
            columns.index(r["column"]),
            r.get("value") or 0,
            r["seed"],
        )
    )
    about = machine(ROOT)
    lines = ",\n".join(json.dumps(result) for result in kept)
    text = f'{{"title": {json.dumps(table.title)},\n"runs": [\n{lines}\n]}}\n'
    write_whole(folder / f"{name}.json", text.encode())
    description = f"{about['processor']}, {about['versions']}"
    write_whole(folder / f"{name}.md", page(name, table, kept, description).encode())
    if table.curves and kept:
        draw(table, kept, folder / f"{name}.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description=__doc__)
    parser.add_argument("table", choices=names())
    parser.add_argument(
        "--seeds",
        type=lambda text: [int(seed) for seed in text.split(",")],
        help="comma-separated; default: the table's",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], help="only cells whose names (--list) have these parts"
    )
    parser.add_argument(
        "--missing", action="store_true", help="only cells that the page has no figure of"
    )
    parser.add_argument(
        "--inline", action="store_true", help="run clients in this process, on one core"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/published"))
    parser.add_argument("--list", action="store_true", help="only say the cells' names")
    parser.add_argument("--page-only", action="store_true", help="only write the page anew")
    return parser.parse_args()


if __name__ == "__main__":
    main()
