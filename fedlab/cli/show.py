"""``fedlab show``: a scenario, resolved, with where each value comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def show(
    scenario: Annotated[str, typer.Argument(help="a built-in scenario's name, or a TOML file")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a key: client.optimizer.lr=0.01")
    ] = None,
    toml: Annotated[bool, typer.Option("--toml", help="print plain TOML")] = False,
) -> None:
    """Show a scenario, resolved, with where each value comes from."""
    from rich.console import Console
    from rich.table import Table

    from fedlab.scenario import dumps, load_with_origins

    loaded = load_with_origins(scenario, overrides or [])
    if toml:
        typer.echo(dumps(loaded.scenario), nl=False)
        return
    table = Table("key", "value", "set in", title=loaded.scenario.title or loaded.name)
    content = loaded.scenario.model_dump(mode="json", exclude_none=True)
    for key, value in _leaves(content, ""):
        origin = _origin(key, loaded.origins)
        table.add_row(key, _text(value), origin, style="dim" if origin == "default" else None)
    Console().print(table)


def _leaves(table: dict[str, Any], prefix: str) -> Any:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _origin(key: str, origins: dict[str, str]) -> str:
    while key:
        if key in origins:
            return origins[key]
        key = key.rpartition(".")[0]
    return "default"


def _text(value: Any) -> str:
    text = str(value).strip()
    return text if len(text) <= 200 else text[:197] + "..."
