"""Looking at each node of a cluster before clients run there, and bringing it what it lacks.

A node needs Ray and the same fedlab, torch and Python; who lacks them is left out, and said so. The
user's own modules travel. Large data are used where the node has the same ones; else they travel,
once a node, through Ray's object store, which the node's workers map into their memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlab.engine.node_host import Facts, Files, host_class
from fedlab.engine.ray.outcomes import TRIES, in_one_line
from fedlab.errors import FedlabError

logger = logging.getLogger(__name__)

MOST_MODULE_BYTES = 16 << 20
"""Of a folder's modules, which every node is sent."""
DECISIVE = ("Python", "torch", "numpy", "flwr")
"""What decides about results, or whether fedlab runs at all."""


@dataclass
class Supplies:
    """What workers on one node are given.

    Attributes:
        host: The node's actor.
        name: What to call the node.
        folders: Where the user's own modules are, there.
        data: A reference to the federation, of data that the node has itself; None: it travels.
        step: What it is asked for.
        tries: How many actors were started there.
    """

    host: Any
    name: str
    folders: tuple[str, ...] = ()
    data: Any = None
    step: str = "facts"
    tries: int = 0
    waits_for: Any = field(default=None, repr=False)


class Preflight:
    """Looks at nodes.

    Args:
        ray: The module.
        folders: Where the user's own modules are, here.
        question: Returns what a node is asked for data, given the folders of modules there: the
            scenario and what the data hold; None: they travel without being asked for.

    Attributes:
        has_other_processors: Whether a node that was looked at has another processor than this
            machine.
    """

    def __init__(
        self,
        ray: Any,
        folders: Iterable[str],
        question: Callable[[tuple[str, ...]], tuple[str, Any] | None],
    ) -> None:
        self._ray = ray
        self._class = host_class()
        self._here: Facts = self._class().facts()
        self._modules = [module_files(Path(folder)) for folder in folders]
        self._question = question
        self._supplies: dict[str, Supplies] = {}
        self.has_other_processors = False

    def of(self, node: str) -> Supplies:
        """Return what workers on a node are given."""
        return self._supplies[node]

    def begin(self, node: str, name: str) -> None:
        """Begin to look at a node."""
        self._supplies[node] = Supplies(None, name)
        self._ask(node, self._supplies[node])

    def _ask(self, node: str, supplies: Supplies) -> None:
        """Start an actor on a node, and ask it first what the node has."""
        supplies.host = self._ray.remote(self._class).options(**pinned(node), num_cpus=0).remote()
        supplies.step, supplies.waits_for = "facts", supplies.host.facts.remote()
        supplies.tries += 1

    def end(self, node: str) -> None:
        """Forget a node that has gone, or is not used."""
        supplies = self._supplies.pop(node, None)
        if supplies is not None:
            self._ray.kill(supplies.host)

    def close(self) -> None:
        """Forget all nodes."""
        for node in list(self._supplies):
            self.end(node)

    def findings(self) -> dict[str, str]:
        """Return the nodes that were looked at since, and what each lacks, or nothing."""
        found: dict[str, str] = {}
        for node, supplies in self._supplies.items():
            while supplies.waits_for is not None and self._is_there(supplies.waits_for):
                answer, supplies.waits_for = supplies.waits_for, None
                lack = self._next(node, supplies, answer)
                if lack or supplies.waits_for is None:
                    found[node] = lack
                    supplies.waits_for = None
        return found

    def _is_there(self, reference: Any) -> bool:
        return bool(self._ray.wait([reference], num_returns=1, timeout=0)[0])

    def _next(self, node: str, supplies: Supplies, answer: Any) -> str:
        """Take an answer of a node, and ask the next; return what the node lacks."""
        try:
            value = self._ray.get(answer)
        except Exception as error:  # of Ray's, or anything that the node's own packages raise
            if supplies.step == "data":
                return ""
            # An actor's process may be lost while another node dies, and the next one is not.
            if isinstance(error, self._ray.exceptions.RayActorError) and supplies.tries < TRIES:
                self._ask(node, supplies)
                return ""
            return f"it cannot say what it has: {in_one_line(error)}"
        if supplies.step == "facts":
            if lack := lacking(value, self._here):
                return lack
            self._note_processor(supplies.name, value)
            supplies.step = "modules"
            if self._modules:
                supplies.waits_for = supplies.host.unpack.remote(self._modules)
                return ""
            value = []
        if supplies.step == "modules":
            supplies.folders = tuple(value)
            supplies.step = "data"
            if (asked := self._question(supplies.folders)) is not None:
                text, content = asked
                supplies.waits_for = supplies.host.data.remote(text, list(value), content)
            return ""
        supplies.data = value[0] if value else None
        return ""

    def _note_processor(self, name: str, there: Mapping[str, str]) -> None:
        if there["processor"] != self._here["processor"]:
            self.has_other_processors = True
            logger.warning(
                "%s has another processor (%s) than this machine (%s): the last bits of results may"
                " depend on which clients run there",
                name,
                there["processor"],
                self._here["processor"],
            )


def lacking(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Return what a node lacks, as a clause with what to do, or an empty string."""
    if not there["fedlab"]:
        return "fedlab is not installed there; install the same version as here, with all it needs"
    for name in DECISIVE:
        if there[name] != here[name]:
            has = f"{name} {there[name]}" if there[name] else f"no {name}"
            return f"it has {has}, and this machine {here[name]}; install the same"
    if there["fedlab"] != here["fedlab"]:
        return (
            f"its fedlab is another (source {there['fedlab']}, and {here['fedlab']} here); install "
            "the same version as here"
        )
    return ""


def module_files(folder: Path) -> Files:
    """Return the Python files of a folder: its modules, and its packages with all below them.

    Raises:
        FedlabError: If they are too many to travel.
    """
    packages = [path.parent for path in folder.glob("*/__init__.py")]
    paths = [*folder.glob("*.py"), *(path for p in packages for path in p.rglob("*.py"))]
    size = sum(path.stat().st_size for path in paths)
    if size > MOST_MODULE_BYTES:
        raise FedlabError(
            f"module_folders: the modules in {folder} have {size >> 20} MB, and nodes of a cluster "
            f"are sent {MOST_MODULE_BYTES >> 20} MB at most; put those of the scenario into a "
            "folder of their own"
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(paths)}


def pinned(node: str) -> dict[str, Any]:
    """Return the options of Ray that bind an actor to a node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
