"""What ``fedlab list backbones`` shows: backbones with their size, input, licence and weights.

timm and torchvision, which take seconds to import, are asked only where they can add something.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from fedlab import assets
from fedlab.assets import hub_caches
from fedlab.assets.catalogue import CATALOGUE
from fedlab.assets.places import unconverted
from fedlab.errors import FedlabError
from fedlab.models.about import About

MOST = 60
"""Models whose parameters are counted: each is built for it, without memory."""


def offline() -> list[About]:
    """Return the models whose weights a package ships, or a hub's cache holds."""
    packaged = [*_packaged().values()]
    if not hub_caches.hold_weights():
        return packaged
    from fedlab.models.backbone_names import library_models

    return [*packaged, *_described([name for name in library_models() if _is_in_a_cache(name)])]


def matching(pattern: str) -> list[About]:
    """Return every model whose name matches a pattern, those with packaged weights first.

    Args:
        pattern: With ``*`` and ``?``, or a part of the name; hyphens and capitals do not count.

    Raises:
        FedlabError: If none matches.
    """
    from fedlab.models.backbone_names import library_models, plain, unknown_model

    wanted = plain(pattern)
    if not set(wanted) & set("*?"):
        wanted = f"*{wanted}*"
    first = [
        about
        for asset, about in _packaged().items()
        if any(fnmatch.fnmatchcase(plain(name), wanted) for name in (asset, about.name))
    ]
    shown = {about.name for about in first}
    known = library_models(with_tags="." in wanted)
    names = [name for name in known if name not in shown and fnmatch.fnmatchcase(name, wanted)]
    if not first and not names:
        raise FedlabError(unknown_model(pattern))
    return [*first, *_described(names)]


def _packaged() -> dict[str, About]:
    """Return what is known of each asset of weights that a model takes, by the asset's name."""
    return {
        asset.name: About(
            asset.pretrained.model,
            asset.pretrained.parameters,
            asset.pretrained.inputs,
            asset.licence,
            _place(asset),
        )
        for asset in CATALOGUE.values()
        if asset.pretrained is not None
    }


def has_weights_here(name: str) -> bool:
    """Return whether a package's weights for a model are on this machine."""
    from fedlab.models.backbone_names import packaged_asset

    asset = packaged_asset(name)
    return asset is not None and _is_here(CATALOGUE[asset])


def _is_here(asset: assets.Asset) -> bool:
    return assets.locate(asset.name) is not None or unconverted(asset) is not None


def _place(asset: assets.Asset) -> str:
    return f"here ({asset.name})" if _is_here(asset) else f"fedlab assets get {asset.name}"


def _described(names: list[str]) -> Iterator[About]:
    from fedlab.models import timm_backbone, torchvision_backbone
    from fedlab.models.backbone_names import describe

    for name in names:
        library = timm_backbone if describe(name) == "timm" else torchvision_backbone
        yield library.about(name.removeprefix("torchvision/"), counted=len(names) <= MOST)


def _is_in_a_cache(name: str) -> bool:
    from fedlab.models import timm_backbone, torchvision_backbone
    from fedlab.models.backbone_names import describe

    bare = name.removeprefix("torchvision/")
    library = timm_backbone if describe(name) == "timm" else torchvision_backbone
    return bool(library.is_cached(bare))
