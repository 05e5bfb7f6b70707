"""The catalogue itself, and the real assets where they are on this machine (in CI they all are)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlab.assets import locate, places
from fedlab.assets.catalogue import CATALOGUE, images, series, tables, text, weights
from fedlab.assets.downloads import Dependency, Torchvision

PACKAGED = [record.name for record in CATALOGUE.values() if record.is_packaged]
BUNDLED = [r.name for r in CATALOGUE.values() if isinstance(r.ways[0], Dependency)]


def test_no_two_assets_share_a_name() -> None:
    parts = (images, series, tables, text, weights)
    assert len(CATALOGUE) == sum(len(part.ASSETS) for part in parts)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_file_has_a_checksum_unless_a_library_checks_it(name: str) -> None:
    record = CATALOGUE[name]
    library_checks = all(isinstance(way, Torchvision | Dependency) for way in record.ways)
    for file in record.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256) or library_checks


@pytest.mark.parametrize("name", BUNDLED)
def test_what_scikit_learn_bundles_is_always_there(name: str) -> None:
    assert locate(name) is not None


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_asset_is_whole(name: str, asset: Callable[[str], Path]) -> None:
    record = CATALOGUE[name]
    folder = asset(name)
    if record.convert:
        assert all((folder / product).stat().st_size > 1000 for product in record.products)
    else:
        assert places.first_wrong(folder, record.files) is None
