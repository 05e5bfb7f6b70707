"""``fedlab compare``: compare runs of one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.completion import run_folders

if TYPE_CHECKING:
    from fedlab.results.text_tables import TextTable
    from fedlab.terminal import PlainConsole


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="two or more run folders, or a folder of 'fedlab sweep'",
            autocompletion=run_folders,
        ),
    ],
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            help="what to write, by its suffix: a plot (.png, .pdf, .svg), a table (.md, .tex, "
            ".csv) or all figures (.json); may be given several times; default: compare.png",
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="with several seeds: count rounds, bytes and seconds to this value of the test "
            "metric, such as 0.9; default: 95 % of the best setting's last"
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="with several seeds: the setting that others are compared with; default: the first"
        ),
    ] = "",
) -> None:
    """Compare runs of one task in a table and a plot; runs that differ by seeds make one row."""
    from fedlab.cli.tables import print_table, say_settings
    from fedlab.files import check_replaceable
    from fedlab.results.comparison import Comparison
    from fedlab.results.comparison_files import check_output, write_comparison
    from fedlab.results.settings_comparison import SettingsComparison
    from fedlab.terminal import PlainConsole

    outputs = output or [Path("compare.png")]
    for path in outputs:
        check_output(path)
        check_replaceable(path, "--output")
    comparison = Comparison.load(runs)
    console = PlainConsole()
    settings = None
    if target is not None or against or any(len(g.records) > 1 for g in comparison.groups):
        settings = SettingsComparison.of(comparison, target, against)
        say_settings(console, settings)
        _say_sources(console, settings.table())
    else:
        print_table(console, comparison.table())
        _say_sources(console, comparison.table())
        if fairness := comparison.fairness_table():
            print_table(console, fairness)
    for note in [*comparison.notes, *(settings.notes() if settings else ())]:
        typer.echo(f"note: {note}", err=True)
    for path in outputs:
        kind = write_comparison(path, comparison, settings)
        typer.echo(f"{kind:<6}{path}")


def _say_sources(console: PlainConsole, table: TextTable) -> None:
    """Print what a table's rows are made from."""
    for source in table.sources:
        console.say(source)
    if table.sources:
        console.say("")
