"""The command line, one file per command.

A command's file has one function with the heavy imports inside, so that ``fedlab --help`` is fast.
Errors that the user can correct are printed as one sentence, with exit code 2.
"""

from __future__ import annotations

import atexit
import errno
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import click
import typer

from fedlab import __version__
from fedlab.cli.help import App
from fedlab.errors import FedlabError, FedlabErrors, Interrupted, one_line
from fedlab.process import AFTER_SIGNAL, collect_less_often
from fedlab.streams import READER_GONE, forgive_encodings, lasting_output
from fedlab.trust import own_code

SECONDS_TO_END = 60.0
"""What threads and exit handlers have, once the command is done."""

app = App(
    name="fedlab",
    help="Federated and transfer learning simulation: Flower strategies, Ray clients, "
    "pretrained backbones.",
    epilog="Begin with: fedlab run quickstart. What a command takes: fedlab COMMAND -h.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fedlab {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Hold the options that precede the command."""


P = ParamSpec("P")
R = TypeVar("R")


def _running(command: Callable[P, R]) -> Callable[P, R]:
    """Return a command that runs scenarios: it imports what they name, and no reader ends it."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        with own_code(allowed=True), lasting_output():
            return command(*arguments, **options)

    return run


@cache
def _add_commands() -> None:
    from fedlab.cli import (
        assets,
        bisect,
        check,
        compare,
        compress,
        cross_site,
        crossval,
        data,
        deploy,
        doctor,
        evaluate,
        export,
        finetune,
        fork,
        listing,
        metrics,
        paper,
        predict,
        replay,
        report,
        resume,
        run,
        show,
        sweep,
        transfer_gain,
        ui,
        unlearn,
        value,
        verify,
    )

    app.command("run")(_running(run.run))
    app.command("resume")(_running(resume.resume))
    app.command("replay")(_running(replay.replay))
    app.command("fork")(_running(fork.fork))
    app.command("cross-site")(_running(cross_site.cross_site))
    app.command("bisect")(_running(bisect.bisect))
    app.command("value")(_running(value.value))
    app.command("unlearn")(_running(unlearn.unlearn))
    app.command("verify")(_running(verify.verify))
    app.command("list")(listing.listing)
    app.command("show")(show.show)
    app.command("check")(check.check)
    app.command("doctor")(doctor.doctor)
    app.command("crossval")(_running(crossval.crossval))
    app.command("finetune")(_running(finetune.finetune))
    app.command("transfer-gain")(_running(transfer_gain.transfer_gain))
    app.command("sweep")(_running(sweep.sweep))
    app.command("metrics")(metrics.metrics)
    app.command("paper")(paper.paper)
    app.command("evaluate")(evaluate.evaluate)
    app.command("predict")(predict.predict)
    app.command("export")(export.export)
    app.command("compress")(compress.compress)
    app.command("report")(report.report)
    app.command("compare")(compare.compare)
    app.command("ui")(ui.ui)
    app.add_typer(assets.app, name="assets")
    app.add_typer(data.app, name="data")
    app.add_typer(deploy.app, name="deploy")


def script() -> None:
    """Run the command line and end the process; the entry point of the ``fedlab`` script."""
    try:
        main()
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 0)


def _end(code: int) -> None:
    """End the process like :func:`sys.exit`, without Python's teardown of modules and objects.

    Threads are joined, exit handlers run and output is flushed. With torch imported the teardown
    takes 1.7 s of processor time after ``fedlab list strategies``, and 2.8 s after ``fedlab check
    quickstart`` or a small run (least of ten processes each, on two busy cores). A library whose
    exit handler waits for what has gone does not keep the process.
    """
    nowhere = open(os.devnull, "w")  # noqa: SIM115
    faulthandler.dump_traceback_later(SECONDS_TO_END, exit=True, file=nowhere)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError:
        code = code or 1
    os._exit(code)


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: Always, with the exit code.
    """
    collect_less_often()
    forgive_encodings()
    _add_commands()
    with _ended_by_signals():
        code = _outcome()
    sys.exit(code if isinstance(code, int) else 0)


def _outcome() -> Any:
    """Run the command; return its exit code, once what went wrong is told."""
    try:
        # What a stranger's scenario or run folder names is not imported unless a command says so.
        with own_code(allowed=False):
            code = app(standalone_mode=False, prog_name="fedlab")
    except FedlabErrors as error:
        code = _complain(*error.sentences)
    except FedlabError as error:
        code = _complain(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        typer.echo(error.format_message())
        code = 0
    except click.ClickException as error:
        code = _complain(_click_message(error))
    except click.Abort:
        code = AFTER_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        code = _complain(_system_message(error))
    return code


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, so that all is closed and removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before: dict[int, Any] = {}
    for known in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(known) == signal.SIG_DFL:
            with suppress(ValueError):  # not in the main thread, which alone gets signals
                before[known] = signal.signal(known, end)
    try:
        yield
    finally:
        for taken, handler in before.items():
            signal.signal(taken, handler)


def _complain(*sentences: str) -> int:
    """Print each sentence as an error, on a line of its own; return the exit code."""
    for sentence in sentences:
        print(f"error: {one_line(sentence)}", file=sys.stderr)
    return 2


def _click_message(error: click.ClickException) -> str:
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        return f"{error.format_message().rstrip('.')} ('{error.ctx.command_path} --help' has more)"
    # Typer and newer versions of Click both append the nearest command.
    return error.message if "Did you mean" in error.message else error.format_message()


def _system_message(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.EADDRINUSE:
        return f"a port that is needed is taken by another program: {reason}"
    return f"{error.filename}: {reason}" if error.filename else reason
