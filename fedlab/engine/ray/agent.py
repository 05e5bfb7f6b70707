"""A program that stands in for the two agents that Ray keeps on every node.

    python -I -S ray_agent.py FILE_OF_A_PORT ...

One serves metrics and the dashboard, the other prepares environments for workers. A run on this
machine alone uses neither, and each takes 60 MB and over a second of a core; but a raylet does not
live without them. This one says of each of their ports that there is none, and waits for the raylet
to end.
"""

import os
import sys
import time

NOT_IN_USE = "-1"
SECONDS_BETWEEN_LOOKS = 0.5


def main() -> None:
    """Write the files, then wait for the parent to end."""
    parent = os.getppid()
    for path in sys.argv[1:]:
        draft = f"{path}.draft"
        with open(draft, "w") as file:
            file.write(NOT_IN_USE)
        os.replace(draft, path)
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)


if __name__ == "__main__":
    main()
