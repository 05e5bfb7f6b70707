"""Picture files: what a viewer shows of them, in the size that is wanted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from fedlab.data.formats.colours import flattened, to_srgb
from fedlab.data.names import shown
from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = (
    "PNG", "JPEG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "PPM", "JPEG2000", "TGA", "ICO",
    "ICNS", "PCX", "SGI", "SUN", "XBM", "XPM", "DDS", "QOI", "PSD",
)  # fmt: skip
"""Formats of Pillow's that hold one picture as a viewer shows it, and start no other program."""
_WITH_FRAMES = frozenset({".gif", ".webp", ".apng", ".avif", ".avifs", ".tif", ".tiff"})
_ORIENTATION = 0x0112


def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of picture files that are read, in lower case, with the dot."""
    from PIL import Image

    Image.init()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    return frozenset({*known, ".mpo"})


def read_picture(path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    """Return a picture, (C, H, W) uint8, scaled so that H × W is filled, cropped at its centre.

    It is what a viewer shows: turned upright, on white where it is transparent, 16-bit values over
    their whole range, in the colours of sRGB where the file has a profile; of several frames or
    pages the first.

    Args:
        path: A file in one of ``FORMATS``.
        shape: (C, H, W); C is 1 for grey, 3 for colour.

    Raises:
        FedlabError: If the file is missing, is no whole picture, or does not say how bright its
            numbers are; the file is named.
    """
    if not path.is_file():
        raise FedlabError(f"there is no picture file {shown(path)}")
    with warnings.catch_warnings():
        # Of damaged metadata, and of large pictures: neither is a reason not to read one.
        warnings.simplefilter("ignore")
        return decoded(path, path, shape)


def decoded(
    source: Path | BinaryIO,
    path: Path,
    shape: tuple[int, ...],
    room: Callable[[int], AbstractContextManager[object]] = lambda pixels: nullcontext(),
) -> torch.Tensor:
    """Return a picture as :func:`read_picture` does, without a word on warnings.

    Args:
        source: The file, or its content.
        path: The file, for messages.
        shape: (C, H, W).
        room: Is asked for room in memory for so many pixels, and holds it while they are decoded.

    Raises:
        FedlabError: As :func:`read_picture`.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        with Image.open(source, formats=FORMATS) as opened, room(opened.width * opened.height):
            fitted = ImageOps.fit(
                _upright(opened, flattened(opened)), (width, height), Image.Resampling.BICUBIC
            )
            profile = opened.info.get("icc_profile")
        coloured = to_srgb(fitted, profile)
        pixels = torch.from_numpy(np.array(coloured.convert("L" if channels == 1 else "RGB")))
    except Exception as error:  # A damaged file makes a decoder raise anything.
        raise FedlabError(_reason(path, error)) from error
    return pixels.view(height, width, -1).permute(2, 0, 1).contiguous()


def has_frames(path: Path, source: BinaryIO | None = None) -> bool:
    """Return whether a file holds several frames or pages, of which the first is read.

    Args:
        path: The file; its suffix says whether it may.
        source: Its content, where that is in memory.
    """
    if path.suffix.lower() not in _WITH_FRAMES:
        return False
    from PIL import Image

    try:
        with Image.open(source or path, formats=FORMATS) as opened:
            return bool(getattr(opened, "is_animated", False))
    except Exception:  # Whether it can be read at all, reading tells.
        return False


def _upright(opened: Image.Image, picture: Image.Image) -> Image.Image:
    """Return a picture turned as the opened file's orientation says; other metadata do not count.

    A TIFF file is turned by Pillow as it is loaded, and has none left.
    """
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(opened.getexif().get(_ORIENTATION, 1))
    except Exception:  # Damaged metadata: viewers show the picture as it is.
        return picture
    return picture if turn is None else picture.transpose(turn)


def _reason(path: Path, error: Exception) -> str:
    """Return the sentence for a file that is no picture, or no whole one."""
    from PIL import Image, UnidentifiedImageError

    name = shown(path)
    if not path.stat().st_size:
        return f"{name} is not a picture: the file is empty"
    if isinstance(error, FedlabError):
        return f"{name}: {error}"
    if isinstance(error, UnidentifiedImageError):
        return f"{name} is not a picture in a format that Pillow reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"{name} has too many pixels to be read (Pillow's limit against damaged files)"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read: {error.strerror}"
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return f"{name} is not a whole picture: {said}"
