"""``python -m fedlab``: the command line, where the script is not on the path."""

from __future__ import annotations

from fedlab.cli import script

if __name__ == "__main__":
    script()
