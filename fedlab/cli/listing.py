"""``fedlab list``: list scenarios, data sets, models, algorithms and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.errors import FedlabError, unknown
from fedlab.registry import KINDS, criteria, draws, metrics, optimizers

if TYPE_CHECKING:
    from rich.table import Table

PLURALS = {kind.plural: kind.registry for kind in KINDS} | {
    "criteria": criteria,
    "optimizers": optimizers,
    "metrics": metrics,
    "draws": draws,
}


def listing(
    kind: Annotated[str, typer.Argument(help=f"scenarios, {', '.join(PLURALS)}")] = "scenarios",
) -> None:
    """List the built-in scenarios, or all parts of another kind, one line each."""
    from rich.console import Console

    if kind == "scenarios":
        table = _scenarios()
    elif kind in PLURALS:
        table = _registered(kind)
    else:
        raise FedlabError(unknown("kind", kind, ["scenarios", *PLURALS]))
    Console().print(table)


def _scenarios() -> Table:
    import tomllib

    from rich.console import Console
    from rich.table import Table

    from fedlab.scenario import built_in

    rows = []
    for name, path in built_in().items():
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        group = content.get("group") or (
            path.parent.name if path.parent.name != "scenarios" else ""
        )
        rows.append((group, name, content.get("title", "")))
    table = Table(box=None, padding=(0, 2, 0, 0))
    taken = max(len(row[0]) for row in rows) + max(len(row[1]) for row in rows) + 6
    table.add_column("group", no_wrap=True)
    table.add_column("scenario", no_wrap=True)
    table.add_column("what it shows", no_wrap=True, max_width=max(20, Console().width - taken))
    shown = ""
    for group, name, title in sorted(rows, key=lambda row: (row[0] != "start", row)):
        table.add_row(group if group != shown else "", name, title)
        shown = group
    return table


def _registered(kind: str) -> Table:
    from rich.table import Table

    known = PLURALS[kind]
    table = Table(known.kind, "what it is", box=None, padding=(0, 2, 0, 0))
    for name in known.names():
        table.add_row(name, known.summary(name))
    return table
