"""What ``--help`` prints: plain text whose words wrap, in a terminal of any width and in a pipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_type_hints

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.models import ArgumentInfo

from fedlab.errors import Interrupted
from fedlab.process import AFTER_SIGNAL

WIDEST = 100
"""Columns that are used of a wide terminal."""
SECTIONS = {
    "Simulate": ("run", "resume", "fork", "finetune", "sweep", "transfer-gain", "crossval"),
    "Find and check": ("list", "show", "check", "doctor", "data", "assets"),
    "Federate": ("deploy",),
    "Read the results": (
        "report",
        "ui",
        "compare",
        "metrics",
        "paper",
        "replay",
        "verify",
        "bisect",
        "value",
        "unlearn",
        "cross-site",
    ),
    "Use what was trained": ("evaluate", "predict", "export", "compress"),
}
"""The commands of ``fedlab --help``, in the order in which a new user needs them."""
REST = "Commands"


class Command(TyperCommand):
    """A command whose help has arguments and options, each with what it is and its default."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and the options."""
        _write_parameters(self, ctx, formatter)


class Sections(TyperGroup):
    """A group of commands whose help has a heading for each of `SECTIONS`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is asked for.

        Raises:
            Exit: With the exit code of a program that a signal has ended, if one has. Typer would
                take each for Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except Interrupted as ended:
            raise typer.Exit(AFTER_SIGNAL + ended.number) from ended

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every command with the first sentence of its help, by section."""
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        is_root = ctx.parent is None
        sections = SECTIONS if is_root else {}
        listed = {name for names in sections.values() for name in names}
        rest = [name for name in known if name not in listed]
        # All sections have one indent.
        width = max(map(len, known), default=0)
        for title, names in (*sections.items(), (REST, rest)):
            rows = list(_rows(known, names, width))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class App(typer.Typer):
    """A Typer application with this help; ``-h`` asks for it, too."""

    def __init__(self, **keys: Any) -> None:
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDEST}
        # Rich would take [tables] in help texts for markup, and break words in narrow terminals.
        usual = {"cls": Sections, "rich_markup_mode": None, "context_settings": settings}
        super().__init__(**(usual | keys))

    def command(self, name: str | None = None, **keys: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a command; see Typer."""
        return super().command(name, **({"cls": Command} | keys))


def _write_parameters(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    _restore_help(command)
    written: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            kind = "Arguments" if isinstance(parameter, click.Argument) else "Options"
            # Typer escapes its own brackets for Rich, whoever prints them.
            written[kind].append((record[0], record[1].replace("\\[", "[")))
    for title, records in written.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _restore_help(command: click.Command) -> None:
    """Give arguments the help that Typer loses with newer versions of Click."""
    lost = [p for p in command.params if isinstance(p, TyperArgument) and not p.help]
    if not lost or command.callback is None:
        return
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    for parameter in lost:
        marks = getattr(hints.get(str(parameter.name)), "__metadata__", ())
        texts = (mark.help for mark in marks if isinstance(mark, ArgumentInfo))
        parameter.help = next(texts, None)


def _rows(
    known: dict[str, click.Command | None], names: Iterable[str], width: int
) -> Iterator[tuple[str, str]]:
    for name in names:
        command = known.get(name)
        if command is not None and not command.hidden:
            yield name.ljust(width), command.get_short_help_str(limit=200)
