"""``fedlab list``: list scenarios, data sets, models, algorithms and engines."""

from __future__ import annotations

from typing import Annotated

import typer

from fedlab.errors import FedlabError, unknown
from fedlab.registry import KINDS, criteria, draws, metrics, optimizers

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
    from fedlab.terminal import PlainConsole

    if kind == "scenarios":
        headers, rows = ["group", "scenario", "what it shows"], _scenarios()
    elif kind in PLURALS:
        known = PLURALS[kind]
        headers = [known.kind, "what it is"]
        rows = [[name, known.summary(name)] for name in known.names()]
    else:
        raise FedlabError(unknown("kind", kind, ["scenarios", *PLURALS]))
    PlainConsole().rows(headers, rows)


def _scenarios() -> list[list[str]]:
    """Return group, name and title of each built-in scenario; a group is named once."""
    import tomllib

    from fedlab.scenario import built_in

    rows = []
    for name, path in built_in().items():
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        group = content.get("group") or (
            path.parent.name if path.parent.name != "scenarios" else ""
        )
        rows.append([group, name, content.get("title", "")])
    rows.sort(key=lambda row: (row[0] != "start", row))
    groups = ["", *(row[0] for row in rows)]
    return [
        [group if group != before else "", *rest]
        for before, (group, *rest) in zip(groups, rows, strict=False)
    ]
