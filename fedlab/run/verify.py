"""Running rounds of a run again, and comparing: a certificate that a reviewer can check."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.parsing import Anything, read_object
from fedlab.run import checkpoint
from fedlab.run.callbacks import Callback, RoundOutcome, RunView
from fedlab.run.chain import LINK, WEIGHTS, first_link, next_link, source_digest
from fedlab.run.folder import RunFolder, environment, weights_digest
from fedlab.run.replay import StopBefore, repeated

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Compared:
    """A round that was run again.

    Attributes:
        round: Its number.
        recorded, found: The digests of its weights, in the run and now.
        differences: What else of its line is another.
    """

    round: int
    recorded: str
    found: str
    differences: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the round gave the same weights and figures."""
        return self.recorded == self.found and not self.differences


@dataclass(frozen=True)
class Verification:
    """What was checked of a run.

    Attributes:
        links: How many links of its chain are whole.
        last: The last of them.
        broken: The first round whose link does not follow; None: all do.
        is_own_source: Whether this fedlab is the one that the chain begins with.
        compared: The rounds that were run again.
        elsewhere: What of this machine is not what the run was computed with.
    """

    links: int
    last: str
    broken: int | None
    is_own_source: bool
    compared: list[Compared] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the run."""
        return self.broken is None and all(each.agrees for each in self.compared)


def verify(
    folder: RunFolder,
    rounds: int | None = None,
    seed: int | None = None,
    tell: Progress = lambda sentence: None,
) -> Verification:
    """Check a run's chain, and run some of its rounds again.

    Args:
        folder: The run folder.
        rounds: How many rounds, drawn at random; None: all.
        seed: Of the draw; None: nobody knows it before.
        tell: Takes sentences on what is under way.

    Raises:
        FedlabError: If the folder has no rounds, or its data are not here.
    """
    lines = {line["round"]: line for line in folder.lines(files.METRICS)}
    forked = folder.fork_round or 0
    done = [number for number in sorted(lines) if number > forked and WEIGHTS in lines[number]]
    if not done:
        raise FedlabError(f"{folder.path} holds no rounds with digests of their weights")
    result = _chain(folder, [lines[number] for number in sorted(lines)])
    chosen = set(done)
    if rounds is not None and rounds < len(done):
        draw = random.Random(seed) if seed is not None else random.SystemRandom()
        chosen = set(draw.sample(done, rounds))
    found = list(_again(folder, chosen, lines, tell))
    return Verification(
        **{**vars(result), "compared": found, "elsewhere": list(_elsewhere(folder))}
    )


def _chain(folder: RunFolder, lines: Sequence[dict[str, Any]]) -> Verification:
    """Follow the chain; one that begins with another source of fedlab is followed from round 0.

    That of a fork begins with the scenario of the run that it goes on from.
    """
    first = first_link(folder, source_digest())
    begins = lines[0].get(LINK) == next_link(first, lines[0])
    is_own = begins or folder.fork_round is not None
    link, count, broken = lines[0].get(LINK, ""), 1 if lines[0].get(LINK) else 0, None
    for line in lines[1:]:
        link = next_link(link, line)
        if line.get(LINK) != link:
            broken = int(line["round"])
            break
        count += 1
    if link and lines[0]["round"] > 0:
        broken = 0  # lines that were deleted at the beginning leave whole links
    return Verification(count, lines[-1].get(LINK, ""), broken, is_own)


class _Collected(Callback):
    """Keeps what each round gave."""

    def __init__(self) -> None:
        self.lines: dict[int, dict[str, Any]] = {}

    def round_ended(self, run: RunView, outcome: RoundOutcome) -> None:
        """Keep the round's line, with the digest of its weights."""
        digest = weights_digest(run.weights.numpy())
        self.lines[outcome.round] = {**outcome.record, WEIGHTS: digest}


def _again(
    folder: RunFolder, chosen: set[int], lines: dict[int, dict[str, Any]], tell: Progress
) -> Iterator[Compared]:
    """Run rounds again, each from the nearest checkpoint before it, and compare."""
    for start, wanted in _stretches(folder, chosen):
        if start is not None:
            digest = weights_digest(start.weights)
            if digest != lines[start.round].get(WEIGHTS, digest):
                yield Compared(start.round, lines[start.round][WEIGHTS], digest)
        found = _run_again(folder, start, max(wanted), tell)
        for number in sorted(wanted):
            recorded, line = lines[number], found[number]
            yield Compared(
                number, recorded[WEIGHTS], line[WEIGHTS], tuple(_different(recorded, line))
            )


def _stretches(
    folder: RunFolder, chosen: Iterable[int]
) -> Iterator[tuple[checkpoint.Checkpoint | None, set[int]]]:
    """Yield each checkpoint that rounds are to be run from, and which."""
    by_start: dict[int, set[int]] = {}
    starts: dict[int, checkpoint.Checkpoint | None] = {}
    for number in sorted(chosen):
        saved = checkpoint.load_latest(folder.checkpoints, number - 1)
        place = saved.round if saved is not None else -1
        starts[place] = saved
        by_start.setdefault(place, set()).add(number)
    for place, wanted in by_start.items():
        yield starts[place], wanted


def _run_again(
    folder: RunFolder, start: checkpoint.Checkpoint | None, last: int, tell: Progress
) -> dict[int, dict[str, Any]]:
    """Return the lines of the rounds after a checkpoint, up to a last one; nothing is written."""
    collected = _Collected()
    with repeated(folder, folder.scenario, start) as simulation:
        rounds = simulation.rounds([collected, StopBefore(last + 1, tell)])
        if start is not None:
            rounds.restore(start)
        rounds.run()
    return collected.lines


def _different(recorded: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """Yield which figures of a round are others than those that the run recorded."""
    for key in ("test", "clients", "train", "validation", "unseen"):
        if key in recorded and recorded[key] != found.get(key):
            yield key


def _elsewhere(folder: RunFolder) -> Iterator[str]:
    """Yield what of this machine is not what the run was computed with."""
    held = read_object(folder.path / files.ENVIRONMENT, Anything)
    before: dict[str, Any] = dict(held.root) if held is not None else {}
    here = environment()
    packages = before.get("packages")
    for name, version in (packages if isinstance(packages, dict) else {}).items():
        if here["packages"].get(name) != version:
            yield f"{name} {here['packages'].get(name, 'not installed')} here, {version} there"
    if before.get("processor") not in (None, here["processor"]):
        yield f"processor {here['processor']} here, {before['processor']} there"
