"""``fedlab data inspect``: what a user's files hold, and a scenario to start from."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlab.data.inspection import Finding

LISTED = 20
"""Classes and sites that are listed; the others are counted."""


def inspect(
    path: Annotated[Path, typer.Argument(help="a file or folder of your own data")],
    kind: Annotated[
        str | None, typer.Option(help="what it is, where that is guessed wrong: pictures, ...")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write a scenario to start from (.toml)")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say what your data hold: kind, classes, sites, sizes, what is missing or unreadable."""
    from fedlab.data.inspection import inspect as look
    from fedlab.use.starting import starting_scenario, write_start

    finding = look(path, kind)
    if output is not None:
        write_start(finding, output)
    if json:
        proposed = starting_scenario(finding) if finding.scenario else None
        typer.echo(json_format.dumps(_as_json(finding) | {"scenario": proposed}))
        return
    _print(finding)
    if output is not None:
        typer.echo(f"scenario: {output}")
    elif finding.scenario:
        typer.echo("A scenario to start from is written with -o FILE.toml")
    else:
        typer.echo(f"There is no scenario to start from: {finding.why_no_scenario}")


def _as_json(finding: Finding) -> dict[str, Any]:
    from fedlab.data.names import readable

    return {
        "kind": finding.kind,
        "path": readable(str(finding.path)),
        "examples": finding.examples,
        "layout": finding.layout,
        "classes": dict(finding.classes),
        "sites": dict(finding.sites),
        "notes": list(finding.notes),
        **finding.details,
    }


def _print(finding: Finding) -> None:
    from fedlab.data.names import shown
    from fedlab.terminal import PlainConsole

    rows = [
        ("path", shown(finding.path)),
        ("kind", finding.kind),
        ("layout", finding.layout),
        ("examples", f"{finding.examples:,}"),
        *_counts("classes", finding.classes),
        *_counts("sites", finding.sites),
        *finding.facts,
    ]
    console = PlainConsole()
    rows = [(name, text) for name, text in rows if text]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        console.say(f"{name:<{width}}  {text}")
    for note in finding.notes:
        console.say(f"note: {note}")


def _counts(name: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the line of how many examples each class or site has."""
    if not counts:
        return []
    named = [f"{key} {count:,}" for key, count in list(counts.items())[:LISTED]]
    more = [f"and {len(counts) - LISTED:,} more"] if len(counts) > LISTED else []
    values = counts.values()
    spread = "" if len(counts) < 3 else f" (least {min(values):,}, most {max(values):,})"
    return [(name, f"{len(counts):,}{spread}: {', '.join([*named, *more])}")]
