"""The catalogue of assets: data only, one file for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fedlab.assets.asset import Asset
from fedlab.assets.catalogue import images, series, tables, text, weights

CATALOGUE: Mapping[str, Asset] = MappingProxyType(
    {asset.name: asset for part in (images, text, series, tables, weights) for asset in part.ASSETS}
)
