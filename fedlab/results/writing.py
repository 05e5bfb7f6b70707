"""Writing a file at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from fedlab.errors import FedlabError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it.

    Raises:
        FedlabError: If it cannot be written; then nothing is left of it.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        if temporary.is_file():
            temporary.unlink()
        raise FedlabError(f"{path} cannot be written: {error.strerror or error}") from error
