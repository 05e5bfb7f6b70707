"""What the shell completes: scenarios, run folders, kinds of parts, backbones, keys of --set.

The shell asks at every press of a key, so that nothing here imports torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import typer

from fedlab.errors import FedlabError
from fedlab.registry import KINDS

ALWAYS = (
    *("rounds=", "seed=", "title=", "data.train_examples=", "data.augmentation=none"),
    *("client.batch_size=", "client.local_epochs=", "client.optimizer.lr=", "engine.name="),
    *("engine.workers=", "evaluation.every=", "evaluation.federated=", "evaluation.baselines="),
)
"""Keys that are completed, set in the scenario or not."""

_REGISTERED = re.compile(r'^(?:@\w+\.register\(([^)]*)\)|\w+\(\n    ("[^"]+"),)', re.MULTILINE)
"""A class that is registered by a decorator, or by a call whose first argument is its name."""


def scenarios(incomplete: str) -> list[str]:
    """Return built-in scenarios, and TOML files and folders, that begin so."""
    from fedlab.scenario import built_in

    return [*_beginning(built_in(), incomplete), *_paths(incomplete, ".toml")]


def run_folders(incomplete: str) -> list[str]:
    """Return run folders, newest first, and other folders that begin so."""
    from fedlab import files

    known = sorted(Path("runs").glob(f"*/{files.SCENARIO}"), key=_age)
    runs = [str(path.parent) for path in known]
    return list(dict.fromkeys([*_beginning(runs, incomplete), *_paths(incomplete)]))


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of ``fedlab list`` that begin so."""
    others = ("scenarios", "backbones", "devices")
    return _beginning([*others, *(kind.plural for kind in KINDS)], incomplete)


def shown(incomplete: str) -> list[str]:
    """Return what ``fedlab show`` takes: a scenario, or a kind of part."""
    return [*_beginning([kind.singular for kind in KINDS], incomplete), *scenarios(incomplete)]


def part_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the parts of a kind, read off the files that register them."""
    import importlib.util

    word = str(context.params.get("scenario", ""))
    kind = next((kind for kind in KINDS if kind.singular == word), None)
    if kind is None:
        return []
    if not kind.registry.package:
        return _beginning(kind.registry.listed, incomplete)
    spec = importlib.util.find_spec(kind.registry.package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    names: set[str] = set()
    for file in (file for folder in folders for file in Path(folder).glob("*.py")):
        for registered in _REGISTERED.findall(file.read_text(encoding="utf-8")):
            names |= set(re.findall(r'"([^"]+)"', "".join(registered)))
    return _beginning(sorted(names), incomplete)


def backbones(incomplete: str) -> list[str]:
    """Return the models whose weights a package ships, by their name or the weights'."""
    from fedlab.assets.catalogue import CATALOGUE

    known = [asset for asset in CATALOGUE.values() if asset.pretrained is not None]
    names = [asset.pretrained.model for asset in known if asset.pretrained is not None]
    return _beginning([*names, *(asset.name for asset in known)], incomplete)


def assets(incomplete: str) -> list[str]:
    """Return the assets that begin so."""
    from fedlab.assets.catalogue import CATALOGUE

    return _beginning(CATALOGUE, incomplete)


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """Return the keys that a scenario sets, and usual ones, that begin so."""
    from fedlab.scenario.loading import written_keys

    written: Iterable[str] = ()
    # While an option lacks its value, Click leaves the arguments before it as they are.
    words = (word for word in context.args if not word.startswith("-"))
    name = context.params.get("scenario") or next(words, None)
    with suppress(FedlabError, OSError):
        written = [f"{key}=" for key in written_keys(str(name))] if name else ()
    return _beginning(dict.fromkeys([*ALWAYS, *written]), incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _paths(incomplete: str, suffix: str | None = None) -> Iterator[str]:
    """Yield folders, and files of one kind, that begin so."""
    folder, begin = os.path.split(incomplete)
    with suppress(OSError):
        for entry in sorted(os.scandir(folder or "."), key=lambda entry: entry.name):
            if entry.name.startswith(begin) and (begin or not entry.name.startswith(".")):
                path = os.path.join(folder, entry.name)
                if entry.is_dir():
                    yield f"{path}/"
                elif suffix and entry.name.endswith(suffix):
                    yield path


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0
