"""The app bundle of a run: it names fedlab's two components and holds no code.

Flower runs apps that travel as bundles. Here what travels says only which run is meant; server and
sites run the fedlab that is installed on them, and refuse any other bundle.
"""

from __future__ import annotations

import io
import tomllib
import zipfile
from typing import Any

import tomli_w

from fedlab import __version__
from fedlab.errors import FedlabError, shortened
from fedlab.wire.protocol import FOLDER, RESUME, SCENARIO

PUBLISHER, NAME = "fedlab", "fedlab"
COMPONENTS = {
    "serverapp": "fedlab.run.serverapp:app",
    "clientapp": "fedlab.engine.worker.clientapp:app",
}
PROJECT, MANIFEST = "pyproject.toml", ".info/CONTENT"
LARGEST_PROJECT = 1 << 16
DATE = (2024, 10, 1, 0, 0, 0)
"""Of the files in a bundle: two bundles of one fedlab are equal, byte by byte."""


def make_bundle() -> bytes:
    """Return the bundle of every run of this fedlab."""
    project = {
        "project": {
            "name": NAME,
            "version": __version__,
            "description": "",
            "license": "Apache-2.0",
        },
        "tool": {
            "flwr": {
                "app": {
                    "publisher": PUBLISHER,
                    "components": COMPONENTS,
                    "config": {SCENARIO: "", FOLDER: "", RESUME: False},
                }
            }
        },
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(PROJECT, DATE), tomli_w.dumps(project))
    return content.getvalue()


def check_bundle(content: bytes) -> None:
    """Check that a bundle is one that :func:`make_bundle` made, of this version of fedlab.

    Raises:
        FedlabError: If it holds code, names other components, or is another version's.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            strangers = [name for name in names if name not in (PROJECT, MANIFEST)]
            if strangers:
                raise FedlabError(
                    f"the bundle of the run holds '{shortened(strangers[0])}'; only the installed "
                    "fedlab is run here, so that a bundle has no files but pyproject.toml"
                )
            if archive.getinfo(PROJECT).file_size > LARGEST_PROJECT:
                raise FedlabError(f"the bundle of the run has a {PROJECT} that is too large")
            project = tomllib.loads(archive.read(PROJECT).decode())
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise FedlabError(f"the bundle of the run cannot be read: {error}") from error
    components = _at(project, "tool", "flwr", "app", "components")
    if components != COMPONENTS:
        given = components.items() if isinstance(components, dict) else ()
        others = [f"{kind} = {name}" for kind, name in given if COMPONENTS.get(kind) != name]
        raise FedlabError(
            f"the bundle of the run names other components ({shortened(', '.join(others))}); only "
            "fedlab's own are run here"
        )
    version = _at(project, "project", "version")
    if version != __version__:
        raise FedlabError(
            f"the run was started with fedlab {shortened(str(version))}, and here is "
            f"{__version__}; install the same"
        )


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table
