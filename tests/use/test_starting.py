"""A start is trained by a recipe, on a backbone where that serves pictures better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedlab.data.inspection import inspect
from fedlab.use.default_backbone import PICTURES
from fedlab.use.starting import starting_scenario


def paint(folder: Path, side: int, grey: bool = False) -> Path:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            colours = draw.integers(0, 255, (side, side, 1 if grey else 3), np.uint8)
            picture = Image.fromarray(np.broadcast_to(colours, (side, side, 3)).copy())
            picture.save(folder / name / f"{number}.png")
    return folder


def start(path: Path) -> dict[str, Any]:
    return starting_scenario(inspect(path))


def test_pictures_get_the_packaged_backbone_head_first(tmp_path: Path) -> None:
    content = start(paint(tmp_path / "pets", 90))
    assert content["model"]["name"] == PICTURES
    assert content["model"]["pretrained"] == "package"
    assert [phase["name"] for phase in content["phases"]] == ["head", "network"]
    assert content["data"]["image_size"] == 224
    assert content["evaluation"]["early_stopping"]["restore_best"]


def test_without_weights_on_this_machine_pictures_are_learned_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedlab.models.backbone_list.has_weights_here", lambda name: False)
    content = start(paint(tmp_path / "pets", 90))
    assert content["model"] == {"name": "cnn"}
    assert content["client"]["optimizer"]["lr"] == 0.003
    assert content["data"]["image_size"] == 64
    assert content["client"]["schedule"]["name"] == "cosine"


def test_small_grey_pictures_are_learned_from_scratch(tmp_path: Path) -> None:
    content = start(paint(tmp_path / "digits", 20, grey=True))
    assert content["model"]["name"] == "cnn"
    assert content["data"]["image_size"] == 20
    assert "flip" not in content["data"]["augmentation"]


def test_other_data_keep_the_inspectors_network_and_learning_rate(tmp_path: Path) -> None:
    rows = "".join(f"a {('fine', 'dull')[n % 2]} film {n},{n % 2}\n" for n in range(40))
    (tmp_path / "t.csv").write_text("text,label\n" + rows)
    content = start(tmp_path / "t.csv")
    assert content["model"] == {"name": "fasttext"}
    assert content["client"]["optimizer"] == {"name": "adamw", "lr": 0.02}
    assert content["client"]["schedule"]["name"] == "cosine"
