"""Scenarios in Python: from a file, a table or keywords, checked as on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from fedlab.api.tables import Table
from fedlab.errors import FedlabError
from fedlab.files import write_whole
from fedlab.own_classes import own_classes
from fedlab.scenario import Scenario as Settings
from fedlab.scenario import dumps
from fedlab.scenario.changes import content_of
from fedlab.scenario.loading import changed, from_table

Source: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | Scenario"
"""The name of a scenario that comes with fedlab, the path of a TOML file, or a table."""


class Scenario:
    """A checked scenario.

    Args:
        source: The name of a built-in scenario, the path of a TOML file, a table (nested, or with
            dotted keys), or another scenario; None: the keywords say everything.
        overrides: What is laid on it: whole tables, or single keys with a double underscore for
            the dot, as in ``client__optimizer__lr=0.1``. None takes an optional key out. Where a
            table has a ``name``, that name alone, or a class, may stand for it.

    Attributes:
        name: The file's name without its suffix, or "scenario".
        settings: All its keys, defaults included; they are attributes of the scenario, too:
            ``scenario.client.optimizer.lr``.

    Raises:
        FedlabError: With every problem of its content, a sentence each.

    Example:
        >>> Scenario("fedavg", rounds=3, client__batch_size=16).client.batch_size
        16
        >>> Scenario("fedavg", rounds=0)
        Traceback (most recent call last):
        fedlab.errors.FedlabErrors: argument rounds: it must be at least 1, not 0
    """

    name: str
    settings: Settings
    _classes: dict[str, type[Any]]

    def __init__(self, source: Source | None = None, /, **overrides: Any) -> None:
        if isinstance(source, Scenario):
            table = Table(overrides)
            self._classes = source._classes | table.classes
            self.name = source.name
            self.settings = changed(source._with_its_classes(), table.content)
            return
        is_table = isinstance(source, Mapping)
        table = Table(source, overrides) if isinstance(source, Mapping) else Table(overrides)
        extends = table.content.pop("extends", None)
        if source is not None and not is_table:
            if extends is not None:
                raise FedlabError("argument extends: the first argument says what is extended")
            extends = _path(source)
        if extends is not None and not isinstance(extends, str):
            raise FedlabError(f"argument extends: {extends!r} is not a scenario's name or path")
        self._classes = table.classes
        loaded = from_table(table.content, extends)
        self.name, self.settings = loaded.name, loaded.scenario

    @classmethod
    def of(cls, settings: Settings, name: str = "scenario") -> Scenario:
        """Return the scenario of settings that were checked before."""
        found = cls.__new__(cls)
        found.name, found.settings, found._classes = name, settings, {}
        return found

    def _with_its_classes(self) -> Settings:
        """Return the settings, when the classes that they name are again those it was given."""
        own_classes.give_all(self._classes)
        return self.settings

    def with_(self, **overrides: Any) -> Scenario:
        """Return the scenario with overrides laid on it, checked."""
        return Scenario(self, **overrides)

    def check(self) -> list[str]:
        """Check all that a run would be refused for, as ``fedlab check`` does.

        Data are read and split, and the model is built; nothing is fetched.

        Returns:
            What the user should know before a run, a sentence each.

        Raises:
            FedlabError: With every reason why it cannot be run.
        """
        from fedlab.run.rehearsal import rehearse

        return rehearse(self._with_its_classes())

    def to_dict(self) -> dict[str, Any]:
        """Return all keys, defaults included, as a nested dictionary of plain values."""
        return content_of(self.settings)

    def to_toml(self) -> str:
        """Return all keys, defaults included, as TOML."""
        return dumps(self.settings)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the scenario as a TOML file that ``fedlab run`` takes; return its path."""
        file = Path(path)
        write_whole(file, self.to_toml().encode())
        return file

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or key == "settings":
            raise AttributeError(key)
        try:
            return getattr(self.settings, key)
        except AttributeError:
            raise AttributeError(f"a scenario has no key '{key}'") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *type(self.settings).model_fields]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scenario) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        named = f"{self.settings.data.name}, {self.settings.model.name}, "
        named += f"{self.settings.strategy.name} + {self.settings.client.name}"
        return f"<Scenario '{self.name}': {named}, {self.settings.rounds} rounds>"


def _path(source: object) -> str:
    if isinstance(source, str | PathLike):
        return str(fspath(source))
    raise FedlabError(
        "a scenario is the name of one that comes with fedlab, the path of a TOML file, a table or "
        f"keywords, not an object of {type(source).__name__}"
    )
