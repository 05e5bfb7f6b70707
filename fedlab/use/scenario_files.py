"""Scenario files that commands write for the user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from fedlab.data.names import readable, shown
from fedlab.errors import FedlabError, one_line
from fedlab.files import check_replaceable, write_whole

SUFFIX = ".toml"


def check_can_name(path: Path) -> None:
    """Check that a scenario can name a file or folder of the user's.

    Raises:
        FedlabError: If its name is not UTF-8.
    """
    if readable(str(path)) != str(path):
        raise FedlabError(
            f"the name of {shown(path)} is not UTF-8, as a scenario file has to be; rename it"
        )


def check_output(output: Path) -> None:
    """Check that a scenario can be written to a file that is not there yet.

    Raises:
        FedlabError: If it is called otherwise than ``.toml``, something is there, or its folder is
            not.
    """
    if output.suffix != SUFFIX:
        raise FedlabError(f"--output: {output} should end in {SUFFIX}")
    if output.is_file():
        raise FedlabError(
            f"--output: {output} is there already; name another file, or run it with 'fedlab run "
            f"{output}'"
        )
    check_replaceable(output, "--output")


def write_scenario(output: Path, content: Mapping[str, Any], about: Iterable[str]) -> None:
    """Write a scenario to a file that is not there yet.

    Args:
        output: The file.
        content: The keys that are set.
        about: Lines that stand above them as comments.

    Raises:
        FedlabError: See :func:`check_output`.
    """
    check_output(output)
    header = "".join(f"# {one_line(line)}\n" for line in about)
    write_whole(output, (header + tomli_w.dumps(content)).encode())


def unused(name: str) -> Path:
    """Return the first of name.toml, name-2.toml, ... that does not exist."""
    number = 1
    while os.path.lexists(path := Path(f"{name}{'' if number == 1 else f'-{number}'}{SUFFIX}")):
        number += 1
    return path
