"""A client's code and the process that runs it: what the one does to the other is undone.

Clients of one process run one after the other. What a client changes beyond its own objects (the
folder, torch's threads and modes, the data that all share) would pass to the next, and an exit
would end the run.
"""

from __future__ import annotations

import os
import random
import signal
from bdb import BdbQuit
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache

import numpy as np
import torch

from fedlab.errors import EngineFault, FedlabError, Interrupted, described

STREAMS = (1, 2)
"""Descriptors of output and error."""


class ClientFault(FedlabError):
    """A client's code did what no client may do; it is a failure of this client."""


class SharedChanged(EngineFault):
    """A client changed in place what others use, too: nothing after it can be trusted."""


@contextmanager
def contained(shared: Iterable[object] = (), *, draws: bool = False) -> Iterator[None]:
    """Run a client's code inside the block; afterwards this process is as it was.

    Args:
        shared: What the client may read, but not write: those of it that are tensors are watched.
        draws: Whether the global random generators are put back, too, where no
            :func:`fedlab.seeding.scope` does so.

    Raises:
        ClientFault: If the code tries to end the process.
        SharedChanged: If it has changed what is shared.
    """
    process, before, streams = os.getpid(), _Surroundings(draws), _streams(os.getpid())
    tensors = [tensor for tensor in shared if isinstance(tensor, torch.Tensor)]
    versions = [tensor._version for tensor in tensors]
    try:
        yield
    except BdbQuit as error:
        # Whoever leaves the debugger wants no further client.
        raise Interrupted(signal.SIGINT) from error
    except Exception:
        raise
    except BaseException as error:
        if is_from_outside(error):
            raise
        raise ClientFault(f"the client's code tried to end the run ({described(error)})") from error
    finally:
        if os.getpid() != process:
            # A copy of this process, which the client has forked off, must not go on with the run.
            os._exit(0)
        before.restore()
        _open_again(streams)
        if [tensor._version for tensor in tensors] != versions:
            raise SharedChanged(
                "a client's code has changed in place what all clients use (the received weights, "
                "vectors or examples); it must work on copies, such as tensor.clone()"
            )


def is_from_outside(error: BaseException) -> bool:
    """Return whether an exception that no code should catch comes from the user, by Ctrl-C."""
    if isinstance(error, Interrupted):
        return True
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and own


@cache
def _streams(process: int) -> dict[int, int]:
    """Return second descriptors of a process's output and error streams, by the first ones."""
    kept = {}
    for stream in STREAMS:
        with suppress(OSError):  # the process has none
            kept[stream] = os.dup(stream)
    return kept


def _open_again(streams: Mapping[int, int]) -> None:
    """Open streams that a client has closed: the next one may print."""
    for stream, kept in streams.items():
        try:
            os.fstat(stream)
        except OSError:
            os.dup2(kept, stream)


class _Surroundings:
    """What of a process its code may change for all that comes after."""

    def __init__(self, draws: bool) -> None:
        self._folder: str | None = None
        with suppress(OSError):  # it has been removed
            self._folder = os.getcwd()
        self._threads = torch.get_num_threads()
        self._type = torch.get_default_dtype()
        self._learns = torch.is_grad_enabled()
        self._random = (
            (random.getstate(), np.random.get_state(), torch.get_rng_state()) if draws else None
        )

    def restore(self) -> None:
        with suppress(OSError):
            if self._folder is not None and os.getcwd() != self._folder:
                os.chdir(self._folder)
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if torch.get_default_dtype() != self._type:
            torch.set_default_dtype(self._type)
        if torch.is_grad_enabled() != self._learns:
            torch.set_grad_enabled(self._learns)
        if self._random is not None:
            python, numpy, of_torch = self._random
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_rng_state(of_torch)
