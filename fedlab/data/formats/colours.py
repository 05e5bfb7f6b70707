"""The colours of a picture file as a viewer shows them, with 8 bits a channel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlab.errors import FedlabError

if TYPE_CHECKING:
    from PIL import Image

_WITH_PROFILES = {"L", "RGB", "CMYK"}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_LARGEST_PROFILE = 4 << 20


def flattened(opened: Image.Image) -> Image.Image:
    """Return the first frame as grey, colour or CMYK with 8 bits a channel, opaque, on white.

    Args:
        opened: A picture file, opened with Pillow.

    Raises:
        FedlabError: If the file's numbers do not say which of them is white.
    """
    from PIL import Image

    _scale_transparent_grey(opened)
    opened.load()
    picture = opened
    if opened.mode.startswith("I;16") or opened.mode in ("I", "F"):
        picture = _eight_bits(opened)
    elif opened.mode in ("La", "RGBa"):
        picture = opened.convert("LA" if opened.mode == "La" else "RGBA")
    if picture.has_transparency_data:
        coloured = picture.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    if picture.mode == "1":
        return picture.convert("L")
    return picture if picture.mode in _WITH_PROFILES else picture.convert("RGB")


def to_srgb(picture: Image.Image, profile: Any) -> Image.Image:
    """Return a picture in the colours of sRGB, if it comes with a profile of other colours.

    A profile that is damaged, or made for another kind of picture, is passed over, as viewers do.
    """
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _LARGEST_PROFILE:
        return picture
    from PIL import ImageCms

    try:
        transform = _transform(profile, picture.mode)
        turned = None if transform is None else ImageCms.applyTransform(picture, transform)
        return picture if turned is None else turned
    except Exception:  # littlecms and Pillow say so in half a dozen ways.
        return picture


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """Return the way from a profile to sRGB, None where it is sRGB; pictures share few profiles."""
    from io import BytesIO

    from PIL import ImageCms

    own = ImageCms.getOpenProfile(BytesIO(profile))
    if ImageCms.getProfileDescription(own).strip().startswith(("sRGB IEC61966", "sRGB built-in")):
        return None
    return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")


def _eight_bits(opened: Image.Image) -> Image.Image:
    """Return a picture of 16-bit numbers as 8-bit grey, over the whole range of its numbers.

    Raises:
        FedlabError: If it holds longer numbers, or fractions, of which nobody knows the range.
    """
    from PIL import Image

    if opened.mode == "F" or (opened.mode == "I" and opened.format not in ("PPM", "PNG")):
        kind = "fractions" if opened.mode == "F" else "signed or 32-bit whole numbers"
        raise FedlabError(
            f"its pixels are {kind}, and nothing says which of them is white; save it with 8 or "
            "16 bits a channel"
        )
    tags: Any = getattr(opened, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    white = (1 << bits) - 1
    greys = (np.arange(1 << 16).clip(0, white) * 255 + white // 2) // white
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        greys = 255 - greys
    numbers = np.asarray(opened)
    if opened.mode == "I":
        numbers = numbers.clip(0, white).astype(np.uint16)
    grey = Image.fromarray(greys.astype(np.uint8)[numbers])
    clear = opened.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(numbers == clear, 0, 255).astype(np.uint8)))
    return grey


def _scale_transparent_grey(opened: Image.Image) -> None:
    """Scale the grey that stands for transparent in a PNG of 2 or 4 bits, as its pixels are."""
    clear = opened.info.get("transparency")
    tiles: Any = getattr(opened, "tile", ())
    if opened.format != "PNG" or not isinstance(clear, int) or not tiles:
        return
    steps = {"L;2": 85, "L;4": 17}
    opened.info["transparency"] = clear * steps.get(str(tiles[0][3]), 1)
