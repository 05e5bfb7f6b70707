"""``fedlab replay``: run one client's step of a run again, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlab.cli.options import RunFolderPath

if TYPE_CHECKING:
    from fedlab.run.replay import Replay


def replay(
    run: RunFolderPath,
    server_round: Annotated[
        int, typer.Option("--round", min=1, metavar="N", help="the round, from 1")
    ],
    client: Annotated[int, typer.Option("--client", min=0, metavar="K", help="the client")],
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="train the client by itself also where the run trained several at once; its "
            "update is then the same but for the last bits",
        ),
    ] = False,
    debugger: Annotated[
        bool, typer.Option("--pdb", help="enter the debugger where the client's code raises")
    ] = False,
) -> None:
    """Run one client's training step again, in this process, where breakpoints stop it.

    Its update is compared with the digest that the run recorded: exit code 0 if it is the same bit
    for bit, 1 if not. The rounds before it are run again from the nearest checkpoint on.
    """
    raise typer.Exit(_replay(run, server_round, client, alone, debugger))


def _replay(run: Path, server_round: int, client: int, alone: bool, debugger: bool) -> int:
    import sys
    from bdb import BdbQuit

    from fedlab.errors import FedlabError
    from fedlab.run.folder import RunFolder
    from fedlab.run.replay import replay as run_again
    from fedlab.terminal import PlainConsole

    console = PlainConsole()
    try:
        found = run_again(RunFolder.open(run), server_round, client, alone, console.say)
    except (FedlabError, BdbQuit):
        raise
    except Exception:
        import traceback

        traceback.print_exc()
        if debugger:
            import pdb

            pdb.post_mortem(sys.exc_info()[2])
        console.say(f"Client {client} fails in round {server_round}.")
        return 1
    console.say(told(found, alone))
    return 0 if found.agrees is not False else 1


def told(found: Replay, alone: bool) -> str:
    """Return what came of a replay, in sentences."""
    loss = found.update.metrics.get("train_loss")
    what = f"Client {found.client}, round {found.round}: {found.update.examples} examples"
    what += f", loss {loss:.6g}" if loss is not None else ""
    what += f", trained with {found.stacked - 1} others at once" if found.stacked > 1 else ""
    if found.agrees:
        return f"{what}. Its update is that of the run, bit for bit."
    if found.agrees is None:
        return f"{what}. The run recorded no digest of its update to compare with."
    why = " The run may have trained it with others at once: leave --alone out." if alone else ""
    return f"{what}. Its update is NOT that of the run (digest {found.recorded}).{why}"
