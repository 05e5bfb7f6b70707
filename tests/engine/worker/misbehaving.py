"""A client algorithm whose clients misbehave, each in a way of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from fedlab.algorithm.client import ClientAlgorithm, ClientSettings
from fedlab.training.task import LocalTask


class MisbehavingSettings(ClientSettings):
    """Keys of ``[client]``."""

    ways: tuple[str, ...] = Field((), description="one for each client, from 0")


class Unspeakable(Exception):
    """Raises when it is printed."""

    def __str__(self) -> str:
        raise RuntimeError("in str")


class Unpicklable(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__("x")
        self.held = lambda: first + second


class Misbehaving(ClientAlgorithm):
    """Descends as it should, then does what its client's way says."""

    Settings: ClassVar[type[ClientSettings]] = MisbehavingSettings

    def update(self, task: LocalTask, fitted: Any) -> Any:
        """Return an update, or do something else."""
        update = super().update(task, fitted)
        ways = self.settings.ways
        way = ways[task.client] if task.client < len(ways) else ""
        changed = WAYS[way](task, update) if way else None
        return update if changed is None else changed[0]


def _raise(error: BaseException) -> None:
    raise error


def _set(**values: Any) -> Any:
    def change(task: LocalTask, update: Any) -> None:
        for name, value in values.items():
            setattr(update, name, value(update) if callable(value) else value)

    return change


def _report(**values: Any) -> Any:
    return lambda task, update: update.metrics.update(values)


def _recurse(task: LocalTask, update: Any) -> None:
    _recurse(task, update)


def _spin(task: LocalTask, update: Any) -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def _sleep_without_alarm(task: LocalTask, update: Any) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(1000)


def _close_streams(task: LocalTask, update: Any) -> None:
    os.close(1)
    os.close(2)


def _reseed(task: LocalTask, update: Any) -> None:
    torch.manual_seed(os.getpid())
    np.random.seed(os.getpid() % 1000)


def _change_threads(task: LocalTask, update: Any) -> None:
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_dtype(torch.float64)


def _fork_and_return(task: LocalTask, update: Any) -> None:
    os.fork()


def _write_to_network(task: LocalTask, update: Any) -> None:
    update.weights = update.weights.clone()
    task.network.model.weights.fill_(7)


def _print_much(task: LocalTask, update: Any) -> None:
    print("A" * 200_000)
    sys.stderr.write("E" * 100_000)


FAILING = {
    "raise": (lambda t, u: _raise(ValueError("boom\n<script>\nline 3")), "ValueError: boom <scri"),
    "exit": (lambda t, u: sys.exit(3), "tried to end the run (SystemExit: 3)"),
    "interrupt": (lambda t, u: _raise(KeyboardInterrupt()), "end the run (KeyboardInterrupt)"),
    "unspeakable": (lambda t, u: _raise(Unspeakable()), "Unspeakable: its text cannot be shown"),
    "unpicklable": (lambda t, u: _raise(Unpicklable(1, 2)), "Unpicklable: x"),
    "recursion": (_recurse, "RecursionError"),
    "not finite": (_set(weights=lambda u: u.weights * float("nan")), "not finite"),
    "complex": (_set(weights=lambda u: u.weights.to(torch.complex64)), "no numbers"),
    "short": (_set(weights=lambda u: u.weights[:5]), "holds 5 weights"),
    "two-dimensional": (_set(weights=lambda u: u.weights.reshape(1, -1)), "holds 1×"),
    "nothing": (lambda t, u: (None,), "returned None in place of an Update"),
    "no weights": (_set(weights=None), "update's weights is None"),
    "a list": (_set(weights=[1, 2]), "update's weights is a list"),
    "too many examples": (_set(examples=10**400), "not a number of them"),
    "negative examples": (_set(examples=-5), "stands for -5 examples"),
    "a text": (_report(x="text"), "'x' is 'text'"),
    "a huge number": (_report(x=1e308), "'x' is 1e+308"),
    "an odd name": (_report(zzz=1.0), "the reply holds"),
    "a number as name": (lambda t, u: u.metrics.update({7: 1.0}), "a number named 7"),
    "infinite state": (_set(state={"x": torch.tensor([float("inf")])}), "keeps (x) is not finite"),
}
"""What a client does, and what is said of it."""
HARMLESS: dict[str, Any] = {
    "changes folder": lambda t, u: os.chdir("/"),
    "reseeds": _reseed,
    "changes threads": _change_threads,
    "writes to its network": _write_to_network,
    "forks and returns": _fork_and_return,
    "closes streams": _close_streams,
    "prints much": _print_much,
}
"""What a client does that must not reach the others."""
DEADLY: dict[str, Any] = {
    "exits for good": lambda t, u: os._exit(0),
    "crashes": lambda t, u: ctypes.string_at(0),
}
"""What only a process of its own survives."""
ENDLESS: dict[str, Any] = {"spins": _spin, "sleeps on": _sleep_without_alarm}
WAYS = {
    **{name: act for name, (act, _) in FAILING.items()},
    **HARMLESS,
    **DEADLY,
    **ENDLESS,
    "writes to what was sent": lambda t, u: t.wire.zero_(),
}
