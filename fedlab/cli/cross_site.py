"""``fedlab cross-site``: every client's model on every client's own part."""

from __future__ import annotations

import typer

from fedlab.cli.options import RunFolderPath


def cross_site(run: RunFolderPath) -> None:
    """Evaluate every client's model on every client's own part, for a table and the report."""
    from fedlab.cli.tables import print_table
    from fedlab.results.cross_site import table_of
    from fedlab.results.report.page import write_report
    from fedlab.run.cross_site import cross_site as measure
    from fedlab.run.cross_site import write
    from fedlab.run.folder import RunFolder
    from fedlab.terminal import PlainConsole

    folder = RunFolder.open(run)
    with folder.lock:
        found = measure(folder, typer.echo)
        write(folder, found)
        print_table(PlainConsole(), table_of(found))
        typer.echo(f"Report  {write_report(run)}")
