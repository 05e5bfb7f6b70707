"""Small sites of pictures and of tables, as tests share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": 0, "green": 1, "blue": 2}
PICTURES = {
    "name": "sites",
    "kind": "pictures",
    "classes": ["red", "green", "blue"],
    "image_size": 8,
}
TABLE = {
    "name": "sites",
    "kind": "table",
    "classes": ["no", "yes"],
    "target": "ill",
    "columns": {
        "age": {"optional": True},
        "ward": {"kind": "category", "values": ["x", "y"]},
    },
}


def site_of_pictures(
    folder: Path, name: str, counts: Mapping[str, int], permissions: str = ""
) -> Path:
    """Write a site of pictures, so many of each class; return its file."""
    draw = np.random.default_rng(len(name) + sum(counts.values()))
    for colour, count in counts.items():
        place = folder / name / colour
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            values = draw.integers(0, 90, (8, 8, 3)).astype(np.uint8)
            values[..., COLOURS.get(colour, 0)] += 150
            Image.fromarray(values).save(place / f"{number}.png")
    return written(folder, name, f'name = "imagefolder"\npath = "{name}"', permissions)


def site_of_rows(
    folder: Path,
    name: str,
    rows: Sequence[str],
    permissions: str = "statistics = true",
    header: str = "age,ward,ill",
) -> Path:
    """Write a site of a table; return its file."""
    (folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    data = f'name = "table"\npath = "{name}.csv"\ntarget = "ill"'
    return written(folder, name, data, permissions)


def some_rows(count: int, seed: int) -> list[str]:
    """Return rows of age, ward and illness."""
    draw = np.random.default_rng(seed)
    ages = draw.normal(50 + seed, 10, count).round(1)
    wards = draw.choice(["x", "y"], count)
    ill = np.where(ages + draw.normal(0, 3, count) > 50, "yes", "no")
    return [f"{a},{w},{i}" for a, w, i in zip(ages, wards, ill, strict=True)]


def written(folder: Path, name: str, data: str, permissions: str) -> Path:
    """Write a site's file; return it."""
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\n[data]\n{data}\n[permissions]\n{permissions}\n')
    return path
