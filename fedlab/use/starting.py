"""A scenario to start from, made of what an inspector found."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import tomli_w

from fedlab.data.clients_by import CLIENTS_BY, SITES
from fedlab.data.inspection import Finding
from fedlab.data.names import readable, shown
from fedlab.errors import FedlabError, one_line
from fedlab.files import check_replaceable, write_whole
from fedlab.scenario.loading import check

ROUNDS = 10
CLIENTS = 5


def starting_scenario(finding: Finding) -> dict[str, Any]:
    """Return the content of a scenario for what was found, checked.

    Raises:
        FedlabError: If there is none for such data, or the path is no text a scenario can hold.
    """
    if not finding.scenario:
        reason = finding.why_no_scenario or f"no source reads {finding.kind} like these"
        raise FedlabError(f"{shown(finding.path)}: there is no scenario to start from: {reason}")
    if readable(str(finding.path)) != str(finding.path):
        raise FedlabError(
            f"the name of {shown(finding.path)} is not UTF-8, as a scenario file has to be; rename "
            "it"
        )
    usual: dict[str, Any] = {"title": f"{finding.path.absolute().name}: a start", "rounds": ROUNDS}
    content = usual | copy.deepcopy(dict(finding.scenario))
    if not any(content["data"].get(key) for key in (CLIENTS_BY, SITES, "partition")):
        content["data"]["partition"] = {"name": "iid", "clients": CLIENTS}
    check(copy.deepcopy(content), "inspect", folders=[str(Path.cwd())])
    return content


def write_start(finding: Finding, output: Path) -> None:
    """Write a scenario to start from.

    Raises:
        FedlabError: If the file exists, cannot be written or is not called ``.toml``, or there is
            no scenario for such data.
    """
    if output.suffix != ".toml":
        raise FedlabError(f"--output: {output} should end in .toml")
    if os.path.lexists(output):
        raise FedlabError(f"--output: {output} is there already; name another file")
    check_replaceable(output, "--output")
    content = starting_scenario(finding)
    about = [f"Written by 'fedlab data inspect' for {finding.examples:,} examples"]
    about += [f"({finding.kind}; {len(finding.classes)} classes, {len(finding.sites)} sites)."]
    lines = [" ".join(about), *finding.notes]
    lines.append(f"'fedlab check {output.name}' checks it, 'fedlab run {output.name}' runs it.")
    header = "".join(f"# {one_line(line)}\n" for line in lines)
    write_whole(output, (header + tomli_w.dumps(content)).encode())
