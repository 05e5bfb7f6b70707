"""Modules of a user's own, which a scenario names as ``module:Class``.

They are looked for in the scenario's folders (beside its file, in the current folder), then as
Python finds any module. The folders are in no path of Python's: a ``random.py`` or ``clients.py``
beside a scenario takes nobody's place.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from fedlab.errors import FedlabError, nearest, shortened
from fedlab.own_classes import MAIN, own_classes

TAKEN = sys.stdlib_module_names | {"fedlab", "clients", "strategies", "scenarios"}
"""Names that a user's modules cannot have: Python's own, and those of fedlab's packages."""


class OwnModules(MetaPathFinder):
    """Imports modules from a scenario's folders.

    A module that a scenario names comes from there first, and so does what it imports while it is
    loaded. Later imports ask Python's own path first. A folder without ``__init__.py`` is only
    taken for a package where a scenario names it as one.
    """

    def __init__(self) -> None:
        self._folders: tuple[str, ...] = ()
        self._wanted: str | None = None
        self._loaded: dict[str, str] = {}

    def look_in(self, folders: Iterable[str]) -> None:
        """Look in these folders from now on, and forget the modules of others."""
        self._folders = tuple(dict.fromkeys(folders))
        for name, folder in list(self._loaded.items()):
            if folder not in self._folders:
                self._forget(name)

    def _forget(self, name: str) -> None:
        del self._loaded[name]
        for known in [k for k in sys.modules if k == name or k.startswith(f"{name}.")]:
            del sys.modules[known]

    @property
    def in_use(self) -> tuple[str, ...]:
        """Return the folders that modules have come from."""
        used = set(self._loaded.values())
        return tuple(folder for folder in self._folders if folder in used)

    def folder_of(self, module: str) -> str | None:
        """Return the folder that has a module of this name, for names that a module may have."""
        top = module.partition(".")[0]
        if top in TAKEN:
            return None
        for folder in self._folders:
            spec = _spec_in(folder, top)
            if spec is not None and (spec.loader is not None or "." in module):
                return folder
        return None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a top-level module is, if it is in one of the folders in use."""
        if path is not None or fullname in TAKEN:
            return None
        for folder in self._folders if fullname == self._wanted else self.in_use:
            spec = _spec_in(folder, fullname)
            if spec is not None and (spec.loader is not None or fullname == self._wanted):
                self._loaded[fullname] = folder
                return spec
        return None

    def imported(self, module: str) -> ModuleType:
        """Return a module that a scenario names.

        Raises:
            FedlabError: If another module of this name has been imported before.
            Exception: Whatever importing it raises.
        """
        folder, top = self.folder_of(module), module.partition(".")[0]
        if folder is None:
            return importlib.import_module(module)
        if self._loaded.get(top, folder) != folder:
            self._forget(top)
        present = sys.modules.get(top)
        if present is not None and not _is_in(present, folder):
            raise FedlabError(
                f"'{top}' in {folder} has the name of a module that is installed and in use; give "
                "the file another name"
            )
        if present is not None:
            self._loaded.setdefault(top, folder)
        with self._in_front(top):
            return importlib.import_module(module)

    @contextmanager
    def _in_front(self, wanted: str) -> Iterator[None]:
        """Be asked before Python's own path, inside the block."""
        before, self._wanted = self._wanted, wanted
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self._wanted = before

    def passed_over(self, module: str) -> str:
        """Return what may be why a module is not the one that is meant, or an empty string."""
        top = module.partition(".")[0]
        for folder in self._folders:
            if top in TAKEN and (Path(folder) / f"{top}.py").is_file():
                whose = "Python's" if top in sys.stdlib_module_names else "fedlab's"
                return f"; {top}.py in {folder} has the name of one of {whose} own: give it another"
        gone = [folder for folder in self._folders if not Path(folder).is_dir()]
        if gone:
            return f"; the folder {gone[0]} is not there any more"
        return ""

    @property
    def places(self) -> str:
        """Return where modules are looked for."""
        places = [*self._folders, "Python's path"]
        return f"; it is looked for in {' and '.join(places)}"

    def place_of(self, error: BaseException) -> str:
        """Return where in a user's module an error was raised, as `` (file, line 3)``."""
        if isinstance(error, SyntaxError) and error.filename:
            return f" ({error.filename}, line {error.lineno})"
        frames = traceback.extract_tb(error.__traceback__)
        # What is installed is not the user's, also where the environment lies in their folder.
        own = [
            frame
            for frame in frames
            if "site-packages" not in Path(frame.filename).parts
            and any(_is_below(frame.filename, folder) for folder in self._folders)
        ]
        shown = own or [frame for frame in frames if not _is_import_machinery(frame.filename)]
        return f" ({shown[-1].filename}, line {shown[-1].lineno})" if shown else ""


def _spec_in(folder: str, top: str) -> ModuleSpec | None:
    return PathFinder.find_spec(top, [folder])


def _is_in(module: ModuleType, folder: str) -> bool:
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", [])]
    return any(_is_below(place, folder) for place in places if place)


def _is_below(file: str, folder: str) -> bool:
    return Path(file).resolve().is_relative_to(Path(folder).resolve())


def _is_import_machinery(file: str) -> bool:
    return file.startswith("<frozen") or file == importlib.__file__ or file == __file__


own_modules = OwnModules()
"""The process's own: Python's list of finders is the process's, too."""
sys.meta_path.append(own_modules)


def class_at(path: str) -> type[Any]:
    """Return the class that ``module:Class`` names.

    Raises:
        FedlabError: If there is none; the message says why, and where in the module.
    """
    module, _, attribute = path.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise FedlabError("write it as module:Class")
    given = own_classes.get(path)
    if given is not None:
        return given
    holder = _module(module)
    try:
        found = getattr(holder, attribute)
    except AttributeError as error:
        classes = [name for name, value in vars(holder).items() if isinstance(value, type)]
        near = nearest(attribute, classes)
        hint = f".{near}" if near else own_modules.passed_over(module)
        if module == MAIN and not near:
            hint = ", which is the program that runs; define the class there, in a cell or script"
        raise FedlabError(f"module '{module}' has no '{shortened(attribute)}'{hint}") from error
    if not isinstance(found, type):
        raise FedlabError("this is not a class")
    return found


def _module(name: str) -> ModuleType:
    try:
        return own_modules.imported(name)
    except FedlabError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            more = own_modules.passed_over(name) or own_modules.places
            raise FedlabError(
                f"there is no module '{shortened(missing)}' to import{more}"
            ) from error
        raise FedlabError(
            f"importing '{name}' failed: there is no module '{missing}' to import"
            f"{own_modules.place_of(error)}"
        ) from error
    except (Exception, SystemExit) as error:
        # A user's module runs when it is imported, and may raise any exception.
        reason = error.msg if isinstance(error, SyntaxError) else _said(error)
        raise FedlabError(
            f"importing '{name}' failed: {type(error).__name__}: {reason}"
            f"{own_modules.place_of(error)}"
        ) from error


def _said(error: BaseException) -> str:
    try:
        return str(error).partition("\n")[0]
    except Exception:
        return "an error that cannot be shown"
