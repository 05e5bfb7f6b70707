"""Classes that a program hands over itself, or has in its main module: a notebook, a script.

No other process can import them. They are known here under the name ``module:Class`` that a
scenario has for them, and travel to the workers of this machine by value: with their code, and
whatever of their module that uses.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedlab.errors import FedlabError, described

MAIN = "__main__"
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders whose modules every process of this machine finds."""


class OwnClasses:
    """The classes of a program's own, by the names that scenarios have for them."""

    def __init__(self) -> None:
        self._given: dict[str, type[Any]] = {}

    def give(self, cls: type[Any]) -> str:
        """Make a class known, in place of an earlier one of its name; return the name."""
        name = f"{cls.__module__}:{cls.__name__}"
        self._given[name] = cls
        return name

    def give_all(self, classes: Mapping[str, type[Any]]) -> None:
        """Make classes known by their names."""
        self._given.update(classes)

    def get(self, name: str) -> type[Any] | None:
        """Return the class of this name, or None where the program has handed over none."""
        return self._given.get(name)

    def named_in(self, text: str) -> dict[str, type[Any]]:
        """Return the classes that a scenario's text names and no other process can import."""
        main = vars(sys.modules[MAIN]) if MAIN in sys.modules else {}
        known = {f"{MAIN}:{name}": value for name, value in main.items() if isinstance(value, type)}
        known |= self._given
        return {
            name: cls
            for name, cls in known.items()
            if f'"{name}"' in text and not _is_importable(cls)
        }

    def packed(self, text: str) -> bytes:
        """Return the classes that a scenario's text names, by value; nothing where there are none.

        Raises:
            FedlabError: If the code of one uses what cannot be taken to another process.
        """
        classes = self.named_in(text)
        if not classes:
            return b""
        from ray import cloudpickle

        pickled: Callable[[object], bytes] = cloudpickle.dumps
        for name, cls in classes.items():
            try:
                pickled(cls)
            except Exception as error:
                raise FedlabError(
                    f"class '{name}' cannot be taken to the workers: something that its code uses "
                    f"exists in this process only ({described(error)}); make it inside the class's "
                    "methods, or set engine.name = 'inline'"
                ) from error
        # Together, so that one that uses another finds the same class there.
        return pickled(classes)

    def unpack(self, packed: bytes) -> None:
        """Make classes known that :meth:`packed` has packed in the process that sends the work."""
        if packed:
            self.give_all(pickle.loads(packed))


def folder_of(cls: type[Any]) -> str | None:
    """Return the folder in which another process finds the file of a class of a program's own.

    None: it is installed, or another process cannot import it.
    """
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not _is_importable(cls) or INSTALLED.intersection(Path(file).parts):
        return None
    return str(Path(file).absolute().parents[cls.__module__.count(".") + _is_package(module)])


def _is_package(module: object) -> bool:
    return hasattr(module, "__path__")


def _is_importable(cls: type[Any]) -> bool:
    """Return whether another process finds the class where it says that it is from."""
    module = sys.modules.get(cls.__module__)
    is_file = getattr(module, "__file__", None) is not None
    is_there = getattr(module, cls.__name__, None) is cls
    return cls.__module__ != MAIN and is_file and is_there


own_classes = OwnClasses()
"""The process's own."""
