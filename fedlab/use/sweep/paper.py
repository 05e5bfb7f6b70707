"""A sweep as a paper prints it: tables, figures, and the commands that made them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from fedlab import __version__, files
from fedlab.files import write_whole
from fedlab.results.comparison import Comparison
from fedlab.results.comparison_files import write_comparison
from fedlab.results.settings_comparison import SettingsComparison
from fedlab.results.sweep_folder import read_sweep

OUTPUTS = ("table.tex", "table.md", "table.csv", "figures.json", "curves.pdf", "curves.svg")
COMMANDS = "commands.sh"


def write_paper(
    sweep: Path, output: Path, comparison: Comparison, settings: SettingsComparison
) -> list[Path]:
    """Write a sweep's tables, figures and commands into a folder; return the files.

    Args:
        sweep: The sweep's folder.
        output: The folder to write.
        comparison, settings: What is compared.

    Raises:
        FedlabError: If something cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / name for name in OUTPUTS]
    for path in paths:
        write_comparison(path, comparison, settings)
    commands = output / COMMANDS
    write_whole(commands, "".join(f"{line}\n" for line in _commands(sweep, comparison)).encode())
    description = output / files.SWEEP_DESCRIPTION
    write_whole(description, (sweep / files.SWEEP_DESCRIPTION).read_bytes())
    return [*paths, commands, description]


def _commands(sweep: Path, comparison: Comparison) -> Iterator[str]:
    """Yield a shell script that runs all of it again, and each run alone."""
    yield "#!/bin/sh"
    yield f"# fedlab {__version__} made the figures of this folder; the same versions of:"
    for name, version in sorted(_versions(comparison).items()):
        yield f"#   {name} {version}"
    yield "# All runs, the tables and the plot:"
    yield f"fedlab sweep {files.SWEEP_DESCRIPTION} --output {shlex.quote(sweep.name)}"
    yield f"fedlab paper {shlex.quote(sweep.name)} --output paper"
    yield "# Each run alone, from the scenario in its folder; weights are the same to the bit:"
    digests = {record.path.name: record for record in comparison.records}
    for member in read_sweep(sweep).members:
        record = digests.get(member.run)
        if record is None:
            continue
        scenario = Path(sweep.name) / files.SWEEP_RUNS / member.run / files.SCENARIO
        digest = record.summary.weights_sha256 if record.summary is not None else ""
        yield f"# fedlab run {shlex.quote(str(scenario))}" + (
            f"  # {digest[:16]}" if digest else ""
        )


def _versions(comparison: Comparison) -> dict[str, str]:
    """Return the versions of what computed the runs."""
    found = comparison.records[0].environment.get("packages")
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
