"""The names of timm's and torchvision's models, and other spellings of them.

``model.name`` and ``--backbone`` take one name for each. People also write the name of the weights
(``dinov2-small``), or hyphens and capitals (``ResNet-50``): what can only mean one model is
understood, and anything else is answered with the nearest name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import timm
import torchvision.models

from fedlab.assets.catalogue import CATALOGUE
from fedlab.errors import nearest, shortened, unknown
from fedlab.registry import models

Library = Literal["timm", "torchvision"]

NAMES: frozenset[str] = frozenset(torchvision.models.list_models(module=torchvision.models))
"""torchvision's models of pictures."""


def describe(name: str) -> Library | None:
    """Return the library that has a model of this name, or None.

    If both have it, timm takes precedence; "torchvision/resnet18" names torchvision's.
    """
    library, _, bare = resolved(name).rpartition("/")
    if library in ("", "timm") and timm.is_model(bare):
        return "timm"
    if library in ("", "torchvision") and bare in NAMES:
        return "torchvision"
    return None


def resolved(name: str) -> str:
    """Return the one name of the model that ``name`` can only mean, else ``name`` as it is.

    A library's name before a slash and a tag of weights after a dot remain.
    """
    library, slash, rest = name.rpartition("/")
    if library not in ("", "timm", "torchvision"):
        return name
    bare, dot, tag = rest.partition(".")
    if (library != "torchvision" and timm.is_model(bare)) or bare in NAMES:
        return name
    asset = _packaged_models().get(plain(bare))
    if asset and library != "torchvision":
        return f"{library}{slash}{asset}{dot}{tag}"
    for prefix in ("timm", "torchvision"):
        same = _squeezed_names(prefix).get(_squeezed(bare), ())
        if library in ("", prefix) and len(same) == 1:
            return f"{library}{slash}{same[0]}{dot}{tag}"
    return name


def unknown_model(name: str) -> str:
    """Return the message for an unknown name, with the nearest known one."""
    bare = plain(name.rpartition("/")[2])
    offline = _packaged_models()
    alike = sorted({offline[word] for word in offline if len(bare) >= 3 and bare in word})
    if alike:
        last = f" or '{alike[-1]}'" if len(alike) > 1 else ""
        first = ", ".join(f"'{one}'" for one in alike[: -1 if last else None])
        return f"unknown model '{shortened(name)}'. Did you mean {first}{last}?"
    known = {one: one for one in (*models.names(), *timm.list_models(), *NAMES)}
    spellings = known | dict(offline)
    word = next((w for w in (name, bare) if nearest(w, spellings)), None)
    if word is None:
        return (
            f"{unknown('model', name, models.names(), limit=20)} `fedlab list backbones` shows "
            "pretrained ones"
        )
    meant = nearest(word, spellings).split("'")[1]
    return f"unknown model '{shortened(name)}'. Did you mean '{spellings[meant]}'?"


def packaged_asset(name: str) -> str | None:
    """Return the asset with a package's weights for the model ``name``, or None."""
    model = resolved(name).rpartition("/")[2].partition(".")[0]
    found = (a.name for a in CATALOGUE.values() if a.pretrained and a.pretrained.model == model)
    return next(found, None)


def packaged_backbones() -> list[str]:
    """Return the timm models for which a package ships weights, sorted."""
    return sorted(model for model in set(_packaged_models().values()) if timm.is_model(model))


def library_models(with_tags: bool = False) -> list[str]:
    """Return every name of a model of timm and torchvision, sorted, both's under either name.

    Args:
        with_tags: Whether names of timm's sets of weights are included, as ``resnet18.a1_in1k``.
    """
    own = [f"torchvision/{name}" if timm.is_model(name) else name for name in NAMES]
    tagged = timm.list_pretrained() if with_tags else []
    return sorted({*timm.list_models(), *tagged, *own})


@cache
def _packaged_models() -> Mapping[str, str]:
    """Return the models with weights from packages by each of their spellings."""
    spellings: dict[str, str] = {}
    for asset in CATALOGUE.values():
        if asset.pretrained is not None:
            model = asset.pretrained.model
            spellings |= {plain(asset.name): model, plain(model): model}
    return spellings


@cache
def _squeezed_names(library: str) -> Mapping[str, tuple[str, ...]]:
    """Return a library's names by what is left of them without hyphens and capitals."""
    names: dict[str, tuple[str, ...]] = {}
    for name in timm.list_models() if library == "timm" else NAMES:
        names[_squeezed(name)] = (*names.get(_squeezed(name), ()), name)
    return names


def _squeezed(name: str) -> str:
    return plain(name).replace("_", "")


def plain(name: str) -> str:
    """Return a name in lower case, with underscores."""
    return name.lower().replace("-", "_").replace(" ", "_")
