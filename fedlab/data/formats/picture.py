"""Picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fedlab.errors import FedlabError


def read_picture(path: Path, shape: tuple[int, ...]) -> torch.Tensor:
    """Return a picture, (C, H, W) uint8, scaled so that H × W is filled, cropped at its centre.

    Args:
        path: Any format that Pillow reads.
        shape: (C, H, W); C is 1 for grey, 3 for colour.

    Raises:
        FedlabError: If the file is missing, or is no whole picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels, height, width = shape
    if not path.is_file():
        raise FedlabError(f"there is no picture file {path}")
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            coloured = upright.convert("L" if channels == 1 else "RGB")
            fitted = ImageOps.fit(coloured, (width, height), Image.Resampling.BICUBIC)
    except UnidentifiedImageError as error:
        raise FedlabError(f"{path} is not a picture in a format that Pillow reads") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FedlabError(f"{path} is not a whole picture: {error}") from error
    pixels = torch.from_numpy(np.array(fitted))
    return pixels.view(height, width, -1).permute(2, 0, 1).contiguous()
