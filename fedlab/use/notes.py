"""What the user should know of files that were read: on the error output, where no figures go."""

from __future__ import annotations

import sys


def tell(*notes: str) -> None:
    """Print notes, a line each."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
