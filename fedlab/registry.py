"""Names to classes: built-in ones, ``module:Class``, and entry points of other packages.

A registry belongs to one package. A file in that package registers its class with a decorator, and
nothing else has to change: the registry imports the package's files when a name is looked up.

    from fedlab.registry import strategies

    @strategies.register("scaffold")
    class Scaffold(FedAvg): ...

Engines are listed in an explicit table instead: their files are not plug-ins. Other distributions
add classes through the entry-point group ``fedlab.<registry>``, such as ``fedlab.strategies``.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from fedlab.errors import FedlabError, nearest, shortened, unknown
from fedlab.own_classes import MAIN
from fedlab.own_modules import class_at
from fedlab.trust import require_trust

logger = logging.getLogger(__name__)

C = TypeVar("C", bound=type[Any])


class Registry:
    """The known classes of one kind, by name.

    Args:
        kind: The kind of class, as named in error messages ("strategy").
        group: The plural of the kind: entry points are in the group ``fedlab.<plural>``.
        package: The package whose files register built-in classes, or nothing.
        table: Built-in classes as ``module:Class`` by name, in place of a package.
        adapter: ``module:function`` that adapts a third party's class, or returns it unchanged.
        keys: Whether its classes have keys of their own in a scenario, which ``Settings`` lists.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        package: str = "",
        table: Mapping[str, str] | None = None,
        adapter: str = "",
        keys: bool = True,
    ) -> None:
        self.kind = kind
        self.package = package
        self.listed = dict(table or {})
        self._group = group
        self._adapter = adapter
        self._keys = keys
        self._classes: dict[str, type[Any]] = {}
        self._own_classes: dict[type[Any], type[Any]] = {}
        self._broken: dict[str, str] = {}
        self._complete = False

    def register(self, *names: str) -> Callable[[C], C]:
        """Return a decorator that registers a class under each of ``names``."""

        def add(cls: C) -> C:
            for name in names:
                present = self._classes.get(name)
                if present is not None and present.__qualname__ != cls.__qualname__:
                    raise ValueError(f"two classes claim the {self.kind} '{name}'")
                self._classes[name] = cls
            return cls

        return add

    def get(self, name: str) -> type[Any]:
        """Return the class called ``name``, or the one that ``module:Class`` points to.

        Raises:
            FedlabError: If there is none, or a plug-in cannot be loaded; the message contains the
                nearest known name, or the reason.
        """
        if ":" in name:
            return self._own(name)
        if name in self:
            return self._classes[name]
        if name in self._broken:
            raise FedlabError(f"{self.kind} '{name}': {self._broken[name]}")
        raise FedlabError(unknown(self.kind, name, self._classes))

    def __contains__(self, name: str) -> bool:
        for look in (self._import_listed, self._import_module_of):
            if name not in self._classes:
                look(name)
        if name not in self._classes:
            self._import_all()
        return name in self._classes

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        self._import_all()
        return sorted(self._classes)

    def summary(self, name: str) -> str:
        """Return the first line of the docstring of the class called ``name``."""
        return (inspect.getdoc(self.get(name)) or "").split("\n", 1)[0]

    def _own(self, name: str) -> type[Any]:
        """Return the class that ``module:Class`` names, which each scenario may have its own of.

        Raises:
            FedlabError: If there is none, or such classes are not to be imported here.
        """
        require_trust(name)
        found = self._import_path(name)
        if found not in self._own_classes:
            adapted = self._adapted(found)
            forgotten = forgotten_by(found, adapted, self._keys)
            if forgotten:
                raise FedlabError(f"{self.kind} '{shortened(name)}': {forgotten}")
            self._own_classes[found] = adapted
        return self._own_classes[found]

    def _import_listed(self, name: str) -> None:
        if name in self.listed:
            self._classes[name] = self._import_path(self.listed[name])

    def _import_module_of(self, name: str) -> None:
        stem = name.replace("-", "_")
        if not self.package or not stem.isidentifier():
            return
        module = f"{self.package}.{stem}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise

    def _import_all(self) -> None:
        if self._complete:
            return
        self._complete = True
        for name in self.listed:
            self._import_listed(name)
        if self.package:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
                importlib.import_module(module.name)
        for point in entry_points(group=f"fedlab.{self._group}"):
            self._load(point)

    def _load(self, point: EntryPoint) -> None:
        """Register another distribution's class; one that cannot be loaded breaks nothing else."""
        owner = point.dist.name if point.dist is not None else "another package"
        if point.name in self._classes:
            logger.warning(
                "%s '%s' of %s is left out: the name is taken", self.kind, point.name, owner
            )
            return
        try:
            found = point.load()
            adapted = self._adapted(found)
            forgotten = forgotten_by(found, adapted, self._keys)
            if forgotten:
                raise FedlabError(forgotten)
            self._classes[point.name] = adapted
        except Exception as error:
            reason = str(error).partition("\n")[0]
            problem = f"{owner} cannot load it: {type(error).__name__}: {reason}"
            self._broken[point.name] = problem
            logger.warning("%s '%s' is left out: %s", self.kind, point.name, problem)

    def _adapted(self, found: type[Any]) -> type[Any]:
        if not self._adapter:
            return found
        module, _, function = self._adapter.partition(":")
        adapted: type[Any] = getattr(importlib.import_module(module), function)(found)
        return adapted

    def _import_path(self, path: str) -> type[Any]:
        try:
            return class_at(path)
        except FedlabError as error:
            raise FedlabError(f"{self.kind} '{shortened(path)}': {error}") from error


def forgotten_by(found: type[Any], adapted: type[Any], keys: bool) -> str:
    """Return what the author of a class has forgotten, or nothing.

    Args:
        found: The class.
        adapted: What its registry's adapter made of it.
        keys: Whether it has keys in a scenario, which ``Settings`` lists.
    """
    own = [n for n, v in vars(found).items() if inspect.isfunction(v) and not n.startswith("_")]
    inherited = {name for base in found.__mro__[1:] for name in dir(base)}
    strangers = [name for name in own if name not in inherited]
    missing = [
        name
        for name in sorted(inherited)
        if getattr(getattr(adapted, name, None), "__isabstractmethod__", False)
    ]
    if missing:
        hint = nearest(missing[0], strangers).replace("Did you mean", "Is it")
        named = " and ".join(f"'{name}'" for name in missing)
        return f"class {found.__name__} has no method {named}.{hint}"
    if keys and not hasattr(adapted, "Settings"):
        return (
            f"class {found.__name__} has no Settings; let it extend the base class that the guides "
            "in docs/ name, which has them"
        )
    if len(strangers) == len(own):
        # It changes nothing of what it extends: then a method of nearly a hook's name is meant.
        hooks = [name for name in inherited if not name.startswith("_")]
        for name in strangers:
            hint = nearest(name, hooks)
            if hint:
                return f"nothing calls method '{name}' of class {found.__name__}.{hint}"
    return ""


strategies = Registry("strategy", "strategies", "strategies", adapter="strategies.flower:adapted")
clients = Registry("client algorithm", "clients", "clients")
attacks = Registry("attack", "attacks", "clients.attacks")
updates = Registry("update processor", "updates", "clients.processing")
trackers = Registry("tracker", "trackers", "fedlab.run.trackers")
models = Registry("model", "models", "fedlab.models.zoo")
adapters = Registry("adapter", "adapters", "fedlab.models.adapters")
datasets = Registry("data set", "datasets", "fedlab.data.sources")
inspectors = Registry("kind of data", "inspectors", "fedlab.data.inspectors", keys=False)
partitioners = Registry("partitioner", "partitioners", "fedlab.data.partitioners")
augmentations = Registry("augmentation", "augmentations", "fedlab.data.augmentations")
shifts = Registry("shift", "shifts", "fedlab.data.shifts")
draws = Registry("draw", "draws", "fedlab.training.draws", keys=False)
criteria = Registry(
    *("criterion", "criteria", "fedlab.training.criteria"),
    adapter="fedlab.training.criterion:adapted",
    keys=False,
)
optimizers = Registry(
    *("optimiser", "optimizers", "fedlab.training.optimizers"),
    adapter="fedlab.training.optimizer:adapted",
)
metrics = Registry("set of metrics", "metrics", "fedlab.metrics.kinds", keys=False)
readers = Registry("reader", "readers", "fedlab.use.readers", keys=False)
unlearning = Registry("unlearning method", "unlearning", "fedlab.run.unlearning.methods")
engines = Registry(
    "engine",
    "engines",
    table={
        "deployment": "fedlab.engine.flower.deployment:DeploymentEngine",
        "flower": "fedlab.engine.flower.engine:FlowerEngine",
        "inline": "fedlab.engine.inline:InlineEngine",
        "ray": "fedlab.engine.ray.engine:RayEngine",
    },
)


def name_of(cls: type[Any]) -> str | None:
    """Return the short name under which a class is registered, or None where it has none.

    A class of the program's own main module may have one, too, which no other process knows.
    """
    if cls.__module__ == MAIN:
        return None
    registries = [known for known in globals().values() if isinstance(known, Registry)]
    for registry in registries:
        for name, known in registry._classes.items():
            if known is cls:
                return name
    return None


def own_classes() -> list[type[Any]]:
    """Return the classes that were imported because a scenario named them as ``module:Class``."""
    registries = [known for known in globals().values() if isinstance(known, Registry)]
    found = [cls for registry in registries for cls in registry._own_classes]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Kind:
    """A kind of part that a scenario names, and its names in commands and documentation.

    Attributes:
        plural: The word for ``fedlab list``.
        singular: The word for ``fedlab show``.
        table: Its table in a scenario.
        registry: Its registry.
        about: A description of such parts.
    """

    plural: str
    singular: str
    table: str
    registry: Registry
    about: str


KINDS = (
    Kind(
        *("data", "data", "[data]", datasets),
        "Keys of each data set, in addition to those of every data set below.",
    ),
    Kind(
        *("partitioners", "partitioner", "[data.partition]", partitioners),
        "How the training examples are split over clients.",
    ),
    Kind(
        *("augmentations", "augmentation", "[[data.augmentation.further]]", augmentations),
        "Random changes of training batches, a table each, in order.",
    ),
    Kind(
        *("shifts", "shift", "[[data.shift]]", shifts),
        "How the pictures of clients differ, a table each, in order.",
    ),
    Kind(
        *("models", "model", "[model]", models),
        "The zoo. Any timm or torchvision model goes by its name, see above.",
    ),
    Kind(
        *("adapters", "adapter", "[model.adapter]", adapters),
        "Small modules that are trained beside the layers of a frozen model.",
    ),
    Kind(
        *("clients", "client", "[client]", clients),
        "What a client does with the weights that it receives.",
    ),
    Kind(
        *("strategies", "strategy", "[strategy]", strategies),
        "How the server combines the clients' replies.",
    ),
    Kind(
        *("updates", "update", "[[updates]]", updates),
        "Processing of updates on their way to the server: a table each, in order.",
    ),
    Kind(
        *("attacks", "attack", "[attack]", attacks),
        "What malicious clients do; a scenario without this table has none.",
    ),
    Kind(*("engines", "engine", "[engine]", engines), "Where clients run."),
    Kind(
        *("trackers", "tracker", "[[trackers]]", trackers),
        "Where a run's figures are sent, in addition to its folder.",
    ),
)
"""The kinds of ``fedlab list``, ``fedlab show`` and the reference."""
