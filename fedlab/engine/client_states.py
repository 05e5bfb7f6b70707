"""What clients keep between rounds: in memory while it is little, in files as it grows.

States are written many to a file, and a file never changes: a checkpoint names the files that hold
the states of its round, and what did not change is not written again. Where two files hold a
client's state, the one with the higher number counts.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.app import RecordDict
from safetensors import SafetensorError, safe_open

from fedlab.errors import FedlabError
from fedlab.wire.archive import Arrays, pack, unpack, write_arrays
from fedlab.wire.records import array_bytes

MOST_BYTES = 256 << 20
"""Of states in memory."""
SUFFIX = ".safetensors"


class ClientStates:
    """The states of all clients that keep anything, by client.

    A state is not to be changed once it is here.

    Args:
        folder: Where files go; without it, into a folder that is removed in the end.
        most_bytes: States in memory above this go into files; default: 256 MB.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int | None = None) -> None:
        self._most_bytes = MOST_BYTES if most_bytes is None else most_bytes
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._folder = folder
        self._clear()

    def _clear(self) -> None:
        self._held: OrderedDict[int, RecordDict] = OrderedDict()
        self._unsaved: set[int] = set()
        self._bytes = 0
        self._file_of: dict[int, int] = {}
        self._written: Counter[int] = Counter()
        self._live: Counter[int] = Counter()
        self._next = 1

    def __len__(self) -> int:
        return len(self._file_of.keys() | self._unsaved)

    def __contains__(self, client: int) -> bool:
        return client in self._held or client in self._file_of

    def place(self, folder: Path) -> None:
        """Let files go below ``folder`` from now on: before the first state is kept."""
        self._folder = folder

    def get(self, client: int) -> RecordDict:
        """Return what a client keeps, or an empty record.

        Raises:
            FedlabError: If the file that holds it cannot be read.
        """
        if client in self._held:
            self._held.move_to_end(client)
            return self._held[client]
        if client not in self._file_of:
            return RecordDict()
        state = self._read(client)
        self._hold(client, state)
        return state

    def put(self, client: int, state: RecordDict) -> None:
        """Keep a client's new state; an empty one of a client that has none costs nothing.

        Raises:
            FedlabError: If states have to go into a file and it cannot be written.
        """
        if not len(state) and client not in self:
            return
        self._unsaved.add(client)
        self._hold(client, state)

    def save(self) -> tuple[str, ...]:
        """Write what is new into a file; return the names of all files that hold states.

        Files more than half of whose states are outdated are emptied on the way, so that files take
        no more than about twice the room of the states.

        Raises:
            FedlabError: If it cannot be written.
        """
        self._write(sorted(self._unsaved))
        sparse = {n for n, count in self._live.items() if 2 * count < self._written[n]}
        if sparse:
            self._write(sorted(c for c, number in self._file_of.items() if number in sparse))
        return tuple(_name(number) for number in sorted(self._live))

    def forget(self) -> None:
        """Forget all states; files stay for the checkpoint that may name them."""
        number, folder, own = self._next, self._folder, self._own
        self._clear()
        self._next, self._folder, self._own = number, folder, own

    def restore(self, files: Iterable[str]) -> None:
        """Go on from the files that a checkpoint names.

        Raises:
            FedlabError: If one of them cannot be read.
        """
        self._clear()
        for name in sorted(files):
            number = int(name.removesuffix(SUFFIX))
            with self._opened(number) as file:
                self._note(number, [int(client) for client in file.metadata()])
        present = self._folder.glob(f"*{SUFFIX}") if self._folder else ()
        self._next = 1 + max((int(path.stem) for path in present), default=0)

    def _hold(self, client: int, state: RecordDict) -> None:
        """Hold a state in memory, and make room where there are too many."""
        self._drop(client)
        self._held[client] = state
        self._bytes += array_bytes(state)
        if self._bytes <= self._most_bytes:
            return
        self._write(sorted(self._unsaved))
        while self._bytes > self._most_bytes // 2 and self._held:
            self._drop(next(iter(self._held)))

    def _drop(self, client: int) -> None:
        state = self._held.pop(client, None)
        if state is not None:
            self._bytes -= array_bytes(state)

    def _write(self, clients: list[int]) -> None:
        """Write the states of clients into new files of limited size."""
        arrays: Arrays = {}
        about: dict[str, str] = {}
        size = 0
        for client in clients:
            state = self._held.get(client)
            if state is None:
                state = self._read(client)
            about[str(client)] = json.dumps(pack(state, arrays, f"{client}/"))
            size += array_bytes(state)
            if size > self._most_bytes:
                self._finish(arrays, about)
                arrays, about, size = {}, {}, 0
        if about:
            self._finish(arrays, about)

    def _finish(self, arrays: Arrays, about: dict[str, str]) -> None:
        number, self._next = self._next, self._next + 1
        path = self._path(number)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_arrays(path, arrays, about)
        except OSError as error:
            raise FedlabError(
                f"{path}, which is to hold what clients keep, cannot be written: "
                f"{error.strerror or error}"
            ) from error
        clients = [int(client) for client in about]
        self._note(number, clients)
        self._unsaved.difference_update(clients)

    def _note(self, number: int, clients: list[int]) -> None:
        """Note that a file holds the newest states of these clients."""
        for client in clients:
            before = self._file_of.get(client)
            self._file_of[client] = number
            if before is not None:
                self._outdate(before)
        self._written[number] = self._live[number] = len(clients)

    def _outdate(self, number: int) -> None:
        """Count one state of a file less; of files of our own those without any are removed.

        Others a checkpoint may name; who writes checkpoints removes them.
        """
        self._live[number] -= 1
        if self._live[number] == 0:
            del self._live[number], self._written[number]
            if self._own is not None:
                self._path(number).unlink(missing_ok=True)

    def _read(self, client: int) -> RecordDict:
        with self._opened(self._file_of[client]) as file:
            state: RecordDict = unpack(json.loads(file.metadata()[str(client)]), file.get_tensor)
        return state

    @contextmanager
    def _opened(self, number: int) -> Iterator[Any]:
        path = self._path(number)
        try:
            with safe_open(path, "np") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise FedlabError(
                f"{path}, which holds what clients keep, cannot be read: {error}"
            ) from error

    def _path(self, number: int) -> Path:
        if self._folder is None:
            self._own = tempfile.TemporaryDirectory(prefix="fedlab-states-")
            self._folder = Path(self._own.name)
        return self._folder / _name(number)


def _name(number: int) -> str:
    return f"{number:08d}{SUFFIX}"
