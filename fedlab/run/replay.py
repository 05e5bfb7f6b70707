"""One client's step of a run, again, in this process: for a debugger, and for doubts.

A run keeps the weights of its last rounds alone. The rounds between the nearest checkpoint before
the one that is asked for, or the run's beginning, and that one are run again first: they lead to
the same bits. Nothing is written to the run folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Message, MessageType, RecordDict

from fedlab import files, registry
from fedlab.algorithm.strategy import traits_of
from fedlab.engine.inline import InlineEngine
from fedlab.engine.settings import EngineSettings
from fedlab.engine.worker.messages import Decoder, assignment, sent_arrays, weights_key
from fedlab.engine.worker.worker import Worker
from fedlab.errors import FedlabError
from fedlab.results.parsing import read_lines, read_object
from fedlab.results.rows import ClientRow, FailureRow, ForkFile
from fedlab.run import checkpoint
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.changes import check_unedited
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import Rounds
from fedlab.run.same_data import check_data
from fedlab.run.simulation import Simulation
from fedlab.scenario import Scenario
from fedlab.training.task import Assignment, Update
from fedlab.wire.digest import digest_of
from fedlab.wire.protocol import client_of

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Replay:
    """A client's step that was run again.

    Attributes:
        round, client: Which.
        update: What the client sent.
        digest: Of what it sent (:mod:`fedlab.wire.digest`).
        recorded: The digest that the run recorded; None where it recorded none.
        stacked: How many clients, itself included, were trained in one stack; 0: it was trained by
            the plain loop.
    """

    round: int
    client: int
    update: Update
    digest: int
    recorded: int | None
    stacked: int

    @property
    def agrees(self) -> bool | None:
        """Whether it is the update of the run, bit for bit; None where the run recorded none."""
        return None if self.recorded is None else self.digest == self.recorded


class StopBefore(Callback):
    """Ends the rounds before a given one, and tells of each that is done."""

    def __init__(self, server_round: int, tell: Progress) -> None:
        self._last = server_round - 1
        self._done = 0
        self._tell = tell

    def started(self, run: RunView) -> None:
        """Tell which rounds are run again."""
        self._done = run.round
        if self._done < self._last:
            first = self._done + 1
            some = (
                f"round {first} is"
                if first == self._last
                else f"rounds {first} to {self._last} are"
            )
            self._tell(f"{some} run again")

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Tell of the round."""
        self._done = outcome.round
        if 0 < self._done < self._last:
            self._tell(f"round {self._done} of {self._last}")

    def reason_to_stop(self) -> str | None:
        """Return why to stop."""
        return "the round is reached" if self._done >= self._last else None


def replay(
    folder: RunFolder,
    server_round: int,
    client: int,
    alone: bool = False,
    tell: Progress = lambda sentence: None,
) -> Replay:
    """Run one client's training step again, and compare its update with what the run recorded.

    Args:
        folder: The run folder.
        server_round: The round, from 1.
        client: The client.
        alone: Train the client by itself, also where the run trained several clients at once: its
            update is then the same but for the last bits.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the client did not train in that round, or the data are not the run's.
        Exception: Whatever the client's own code raises.
    """
    check_not_forked(folder, server_round)
    recorded = _recorded(folder, server_round, client)
    with reached(folder, server_round, tell) as (simulation, rounds, messages):
        adds_up = registry.engines.get(folder.scenario.engine.name).traits.adds_up
        combine = adds_up and traits_of(rounds.strategy).takes_mean
        update, digest, stacked = _step(simulation, messages, client, combine and not alone)
    return Replay(server_round, client, update, digest, recorded, stacked)


@contextmanager
def reached(
    folder: RunFolder, server_round: int, tell: Progress = lambda sentence: None
) -> Iterator[tuple[Simulation, Rounds, list[Message]]]:
    """Yield a run right before a round, in this process, with the round's messages.

    Raises:
        FedlabError: If the run cannot be repeated here, or the round is of another run.
    """
    check_not_forked(folder, server_round)
    saved = checkpoint.load_latest(folder.checkpoints, server_round - 1)
    with repeated(folder, in_this_process(folder.scenario), saved) as simulation:
        rounds = simulation.rounds([StopBefore(server_round, tell)])
        if saved is not None:
            rounds.restore(saved)
        rounds.run()
        yield simulation, rounds, rounds.asked(server_round)[1]


@contextmanager
def repeated(
    folder: RunFolder, scenario: Scenario, saved: checkpoint.Checkpoint | None = None
) -> Iterator[Simulation]:
    """Yield a run's simulation, on the run's data, whose rounds write nothing to its folder.

    Args:
        folder: The run folder.
        scenario: The run's, on whichever engine.
        saved: Where its rounds will begin; None: at the beginning.

    Raises:
        FedlabError: If the run cannot be repeated here.
    """
    check_here(folder)
    check_unedited(folder, folder.latest())
    with (
        tempfile.TemporaryDirectory(prefix="fedlab-repeated-") as scratch,
        Simulation(scenario) as simulation,
    ):
        check_data(folder, simulation.federation, simulation.network)
        _place_states(simulation, folder, saved, Path(scratch))
        yield simulation


def check_here(folder: RunFolder) -> None:
    """Check that a run's clients have their data here, and that it is a run.

    Raises:
        FedlabError: If they are sites elsewhere, or it is what unlearning has made of a run.
    """
    if (folder.path / files.UNLEARNED).exists():
        raise FedlabError(
            f"{folder.path} is what 'fedlab unlearn' has made of a run, and cannot be run again; "
            f"{folder.path / files.UNLEARNED} names the run"
        )
    if folder.is_deployed:
        raise FedlabError(
            f"{folder.path} is the run of a deployment, whose clients' data are at the sites"
        )


def check_from_its_beginning(folder: RunFolder) -> None:
    """Check that all rounds of a run, from the first on, are its scenario's.

    Raises:
        FedlabError: If it is a fork.
    """
    if folder.fork_round is not None:
        raise FedlabError(f"{folder.path} is a fork, whose first rounds another scenario made")


def asked_of(
    simulation: Simulation, messages: Sequence[Message], clients: Sequence[int]
) -> dict[int, Assignment]:
    """Return what is asked of each of some clients, by its number.

    Args:
        simulation: A run right before a round.
        messages: Those of the round.
        clients: Who is asked.
    """
    engine = simulation.engine
    assert isinstance(engine, InlineEngine)
    contents = _contents(messages)
    decode = Decoder()
    return {
        client: assignment(
            engine.worker, decode, client, contents[client], engine.states.get(client).copy()
        )
        for client in clients
    }


def _contents(messages: Sequence[Message]) -> dict[int, RecordDict]:
    """Return the contents of messages by client."""
    return {client_of(message.metadata.dst_node_id): message.content for message in messages}


def one_step(simulation: Simulation, messages: Sequence[Message], client: int) -> Update:
    """Train a client by itself, and return its update.

    Args:
        simulation: A run right before a round.
        messages: Those of the round.
        client: The client.

    Raises:
        Exception: Whatever the client's own code raises.
    """
    return _step(simulation, messages, client, combine=False)[0]


def check_not_forked(folder: RunFolder, server_round: int) -> None:
    """Check that a round is the run's own, and not of one that it was forked from.

    Raises:
        FedlabError: If it is not.
    """
    found = read_object(folder.path / files.FORK, ForkFile)
    if found is not None and server_round <= found.round:
        raise FedlabError(
            f"round {server_round} is one of {found.of}, from which {folder.path} goes on after "
            f"round {found.round}; ask for it there"
        )


def _recorded(folder: RunFolder, server_round: int, client: int) -> int | None:
    """Return the digest that the run recorded of a client's update.

    Raises:
        FedlabError: If the client was not asked to train in that round.
    """
    done = checkpoint.newest(folder.checkpoints)
    last = done[0] if done is not None else 0
    failed = [
        row.client
        for row in read_lines(folder.path / files.FAILURES, FailureRow)
        if row.round == server_round and row.phase == MessageType.TRAIN
    ]
    trained = {
        row.client: row.value("digest")
        for row in read_lines(folder.path / files.CLIENTS, ClientRow)
        if row.round == server_round and row.phase == MessageType.TRAIN
    }
    if client in trained:
        found = trained[client]
        return None if found is None else int(found)
    if client in failed:
        return None
    if not trained and not failed:
        raise FedlabError(
            f"--round {server_round}: no client has trained in that round of {folder.path}; it has "
            f"rounds 1 to {last}"
        )
    others = sorted({*trained, *failed})
    shown = ", ".join(map(str, others[:12])) + (", ..." if len(others) > 12 else "")
    raise FedlabError(
        f"--client {client}: it did not train in round {server_round}; these clients did: {shown}"
    )


def in_this_process(scenario: Scenario) -> Scenario:
    """Return the scenario on the inline engine, and no limit to how long a client takes."""
    common = {key: getattr(scenario.engine, key) for key in EngineSettings.model_fields}
    settings = registry.engines.get("inline").Settings
    engine = settings(**common | {"name": "inline", "client_timeout": None})
    return scenario.model_copy(update={"engine": engine})


def _place_states(
    simulation: Simulation, folder: RunFolder, saved: checkpoint.Checkpoint | None, scratch: Path
) -> None:
    """Let clients' states be read where the run keeps them, and written elsewhere."""
    for name in saved.clients if saved is not None else ():
        os.symlink((folder.client_states / name).absolute(), scratch / name)
    simulation.engine.states.place(scratch)


def _step(
    simulation: Simulation, messages: Sequence[Message], client: int, combine: bool
) -> tuple[Update, int, int]:
    """Train a client as its engine would; return its update, digest, and how many were stacked.

    Args:
        simulation: The run, right before the round.
        messages: Those of the round.
        client: The client.
        combine: Whether clients may be trained at once.
    """
    engine = simulation.engine
    assert isinstance(engine, InlineEngine)
    contents = _contents(messages)
    if client not in contents:
        raise FedlabError(f"--client {client}: it was dropped in this round, and did not train")
    worker = engine.worker
    is_stacked = combine and worker.stacking.decision.used
    members = engine.block_of(client, list(contents)) if is_stacked else [client]
    asked = asked_of(simulation, messages, members)
    if is_stacked:
        update = _of_stack(worker, list(asked.values()), client)
    else:
        update = worker.train(asked[client])
    arrays = sent_arrays(update, weights_key(contents[client]))
    return update, digest_of(arrays), len(members) if is_stacked else 0


def _of_stack(worker: Worker, asked: Sequence[Assignment], client: int) -> Update:
    """Return the update of a client of a stack.

    Raises:
        Exception: Whatever the client's own code raises.
    """
    outcome = dict(worker.train_block(asked))[client]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
