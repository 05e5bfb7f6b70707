"""A relay that counts what passes between sites and their server, encryption included."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

BYTES_AT_ONCE = 1 << 16


class Relay:
    """Passes connections on to a port of this machine, and counts their bytes.

    Args:
        port: Where connections arrive.
        target: Where they are passed on to.

    Attributes:
        up: Bytes to the target.
        down: Bytes from it.
    """

    def __init__(self, port: int, target: int) -> None:
        self.up = self.down = 0
        self._port, self._target = port, target
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pass(reader, back, True), self._pass(there, writer, False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_up: bool
    ) -> None:
        with suppress(OSError):
            while content := await reader.read(BYTES_AT_ONCE):
                if is_up:
                    self.up += len(content)
                else:
                    self.down += len(content)
                writer.write(content)
                await writer.drain()
        with suppress(OSError):
            writer.close()
