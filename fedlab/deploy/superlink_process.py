"""The process of a server's SuperLink: ``python -m fedlab.deploy.superlink_process``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fedlab.deploy.flower.superlink import key_header, serve_superlink
from fedlab.deploy.guard import PrivatePort, PublicPort
from fedlab.deploy.keys import registered_keys
from fedlab.deploy.processes import end_with_party


def main() -> None:
    """Serve the SuperLink; what this program does not know are arguments of Flower's."""
    end_with_party()
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--private-port", type=int, required=True)
    parser.add_argument("--secret", type=Path, required=True)
    parser.add_argument("--sites", type=Path)
    options, flower = parser.parse_known_args()
    keys = None
    if options.sites is not None:
        keys = [key_header(key) for key in registered_keys(options.sites).values()]
    secret = options.secret.read_text()
    serve_superlink(
        flower,
        lambda application: PublicPort(application, keys),
        lambda application: PrivatePort(application, secret),
        options.private_port,
    )


if __name__ == "__main__":
    main()
