"""What runs first on each node of a cluster: it looks at what the node has, and keeps it ready.

Its class travels as code, not by its name, since a node may have no fedlab to import it from. So
whatever it uses is imported in its methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = dict[str, str]
"""What results depend on, by name."""
Files = Mapping[str, bytes]
"""The user's own modules: what is in files, by their paths below a folder."""


def host_class() -> type[Any]:
    """Return the class of the actor that stands for a node."""

    class NodeHost:
        def facts(self) -> Facts:
            """Return what this node has of what results depend on."""
            import hashlib
            import importlib.metadata
            import importlib.util
            import platform
            from pathlib import Path

            found = {"Python": ".".join(platform.python_version_tuple()[:2])}
            for package in ("torch", "numpy", "flwr"):
                try:
                    found[package] = importlib.metadata.version(package).partition("+")[0]
                except importlib.metadata.PackageNotFoundError:
                    found[package] = ""
            digest = hashlib.sha256()
            for package in ("fedlab", "clients", "strategies"):
                spec = importlib.util.find_spec(package)
                # A folder without its modules is a package, too, of no origin.
                if spec is None or spec.origin is None or not spec.submodule_search_locations:
                    return found | {"fedlab": ""}
                places = list(spec.submodule_search_locations)
                files = (path.relative_to(places[0]) for path in Path(places[0]).rglob("*.py"))
                for path in sorted(files):
                    digest.update(f"{package}/{path.as_posix()}\0".encode())
                    digest.update((Path(places[0]) / path).read_bytes())
            found["fedlab"] = digest.hexdigest()[:12]
            try:
                lines = Path("/proc/cpuinfo").read_text().splitlines()
            except OSError:
                lines = []
            models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
            found["processor"] = models[0] if models else platform.machine()
            return found

        def unpack(self, folders: list[Files]) -> list[str]:
            """Write the user's own modules into this node's cache; return the folders."""
            import hashlib
            import os
            import tempfile

            from fedlab.assets.places import cache_folder

            made = []
            for files in folders:
                digest = hashlib.sha256()
                for name, content in sorted(files.items()):
                    digest.update(f"{name}\0{len(content)}\0".encode() + content)
                folder = cache_folder() / "modules" / digest.hexdigest()[:32]
                if not folder.exists():
                    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
                        for name, content in files.items():
                            path = os.path.join(draft, "whole", name)
                            os.makedirs(os.path.dirname(path), exist_ok=True)
                            with open(path, "wb") as file:
                                file.write(content)
                        try:
                            os.rename(os.path.join(draft, "whole"), folder)
                        except OSError:  # another host of this machine was faster
                            if not folder.exists():
                                raise
                made.append(str(folder))
            return made

        def data(self, scenario_text: str, folders: list[str], content: Any) -> Any:
            """Return a reference to the federation's data, if they are on this node; else None.

            Nothing is fetched. The data belong to this actor and last as long.
            """
            import os

            import ray

            os.environ["FEDLAB_OFFLINE"] = os.environ["HF_HUB_OFFLINE"] = "1"
            from fedlab.data.content import content_of
            from fedlab.errors import FedlabError
            from fedlab.own_modules import own_modules
            from fedlab.scenario import loads
            from fedlab.scenario.parts import load_federation

            own_modules.look_in(folders)
            try:
                federation = load_federation(loads(scenario_text))
            except (FedlabError, OSError):
                return None
            if content_of(federation) != content:
                return None
            return [ray.put(federation)]

    return NodeHost
