"""``fedlab ui``: look at runs in a browser while they go on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def ui(
    folder: Annotated[
        Path, typer.Argument(help="a folder of run folders and sweeps, or one of them")
    ] = Path("runs"),
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="the port; 0 takes one that is free; default: 8765"),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="the address to listen on; any but this machine's own lets others of the network "
            "ask, unencrypted"
        ),
    ] = "127.0.0.1",
    browser: Annotated[
        bool, typer.Option("--open/--no-browser", help="open the page in a browser, or print it")
    ] = False,
) -> None:
    """Show runs in a browser while they go on: curves, rounds, clients, comparisons."""
    from fedlab.errors import FedlabError, Interrupted
    from fedlab.ui.serving import serve

    def announce(address: str, is_local: bool) -> None:
        if not is_local:
            typer.echo(
                f"warning: {host} can be reached from the network; the address below, its token "
                "and all figures travel unencrypted",
                err=True,
            )
        typer.echo(f"Runs in {folder}; Ctrl-C ends.\n{address}")
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(address)

    if folder == Path("runs") and not folder.exists():
        raise FedlabError(
            "there is no folder runs here: 'fedlab run quickstart' makes one, 'fedlab ui FOLDER' "
            "takes another"
        )
    try:
        serve(folder, host, port, announce)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        typer.echo()
