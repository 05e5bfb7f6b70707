"""A program: asks the fork server for a process that runs a Python program, in this one's place.

    python -I -S fork_client.py SOCKET LAUNCHER PROGRAM [ARGUMENTS ...]

Ray starts it where it would start a worker by ``python LAUNCHER PROGRAM ...``. It imports nothing
of fedlab, so that it takes no time. Where no server answers it becomes what Ray would have started.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Ask, and end; or become the worker."""
    path, launcher, *arguments = sys.argv[1:]
    own = [argument for argument in arguments if not _is_for_launcher(argument)]
    if not _wants_environment(arguments):
        try:
            _ask(path, own)
            return
        except OSError:
            pass
    os.execv(sys.executable, [sys.executable, launcher, *arguments])


def _ask(path: str, arguments: list[str]) -> None:
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        connection.shutdown(socket.SHUT_WR)


def _is_for_launcher(argument: str) -> bool:
    return argument.startswith(("--serialized-runtime-env-context=", "--language="))


def _wants_environment(arguments: list[str]) -> bool:
    """Return whether the worker shall have an environment of its own, which Ray must prepare."""
    contexts = [a.partition("=")[2] for a in arguments if a.startswith("--serialized-runtime-env")]
    return any(json.loads(text or "{}") for text in contexts)


if __name__ == "__main__":
    main()
