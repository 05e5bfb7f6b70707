"""A lossless stage: what travels is compressed once more, and arrives to the bit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from fedlab.algorithm.processing import Payload, ProcessorSettings, Received, UpdateProcessor
from fedlab.algorithm.setup import Setup
from fedlab.errors import FedlabError
from fedlab.registry import updates

LARGEST = 2**31
"""Bytes that a payload may have when it is decompressed."""


class LosslessSettings(ProcessorSettings):
    """Keys of a table of ``[[updates]]`` with name = "lossless"."""

    codec: Literal["zstandard", "zlib"] = Field(
        "zstandard", description="zstandard is faster and needs its package; zlib is Python's own"
    )
    level: int = Field(
        3, ge=1, le=22, description="how hard it tries, up to 22 for zstandard and 9 for zlib"
    )


@updates.register("lossless")
class Lossless(UpdateProcessor):
    """Lossless: all that travels of an update as one compressed stream (RFC 8878, RFC 1950).

    It takes whatever processors before it leave, codes with their places and scales too, as one
    vector of bytes in which the first bytes of all numbers stand together, then the second ones …
    (byte shuffling): random last bits do not compress, signs, exponents, zeros and places do.
    """

    Settings: ClassVar[type[ProcessorSettings]] = LosslessSettings
    gives: ClassVar[Literal["update", "values", "codes"]] = "codes"
    takes: ClassVar[Literal["update", "values", "bytes"]] = "bytes"

    def encode(
        self, update: torch.Tensor, received: Received, generator: torch.Generator
    ) -> Payload:
        """Return the compressed bytes; ``update`` is what travels so far, as bytes."""
        raw, settings = update.numpy().tobytes(), self.settings
        if settings.codec == "zlib":
            found = zlib.compress(raw, min(settings.level, 9))
        else:
            found = _zstandard().ZstdCompressor(level=settings.level).compress(raw)
        return Payload(_tensor(found))

    def decode(self, payload: Payload, received: Received) -> torch.Tensor:
        """Return the bytes that were compressed."""
        raw = payload.values.numpy().tobytes()
        if self.settings.codec == "zlib":
            return _tensor(zlib.decompressobj().decompress(raw, LARGEST))
        module = _zstandard()
        if module.get_frame_parameters(raw).content_size > LARGEST:
            raise ValueError(f"it says that it holds more than {LARGEST} bytes")
        return _tensor(module.ZstdDecompressor().decompress(raw))

    def objections(self, setup: Setup) -> Iterator[str]:
        """Yield whether the codec's package is not installed."""
        yield from super().objections(setup)
        if self.settings.codec == "zstandard":
            try:
                _zstandard()
            except FedlabError as error:
                yield str(error)


def _tensor(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(content, np.uint8).copy())


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise FedlabError(
            "updates: codec 'zstandard' needs its package: pip install 'fedlab-sim[compression]', "
            "or set codec = 'zlib'"
        ) from error
    return zstandard
