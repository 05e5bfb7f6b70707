"""Omniglot from files: tasks with labels of their own, alphabets and drawers as clients."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlab.data.sources.omniglot import DRAWERS, Omniglot, OmniglotSettings
from fedlab.errors import AssetMissing, FedlabError

ALPHABETS = {"Greek": 4, "Latin": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two zip files, which have an alphabet in common."""
    for name, alphabets in (("small1", ["Greek"]), ("small2", ["Greek", "Latin"])):
        with zipfile.ZipFile(tmp_path / f"images_background_{name}.zip", "w") as archive:
            for alphabet in alphabets:
                for character in range(1, ALPHABETS[alphabet] + 1):
                    for drawer in range(1, DRAWERS + 1):
                        file = f"{alphabet}/character{character:02}/{character:04}_{drawer:02}.png"
                        archive.writestr(f"images_background_{name}/{file}", picture(character))
    return tmp_path


def picture(rows: int) -> bytes:
    """Return a white picture whose first rows are black, in one bit a pixel as the files have."""
    pixels = np.full((105, 105), 255, np.uint8)
    pixels[: 21 * rows] = 0
    content = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(content, "png")
    return content.getvalue()


def loaded(folder: Path, **keys):
    return Omniglot(OmniglotSettings(path=str(folder), image_size=5, **keys)).load(3)


def test_a_task_numbers_its_characters_and_holds_all_their_drawings(folder: Path):
    dataset = loaded(folder, ways=3, tasks=6, rotations=False)
    train = dataset.train
    assert train.inputs.shape == (6 * 3 * DRAWERS, 1, 5, 5)
    assert len(dataset.test) == 0
    assert dataset.task.outputs == 3
    assert {name.split()[0] for name in train.group_names} <= set(ALPHABETS)
    assert len(set(train.group_names)) == 6
    for group in range(6):
        own = train.groups == group
        assert np.bincount(train.targets.numpy()[own]).tolist() == [DRAWERS] * 3
        ink = train.inputs[own].float().mean((1, 2, 3))
        each = [ink[train.targets[own] == label].unique() for label in range(3)]
        assert all(len(values) == 1 for values in each)
        assert len({float(values[0]) for values in each}) == 3


def test_ink_is_bright_and_turned_where_the_scenario_says_so(folder: Path):
    plain = loaded(folder, ways=3, tasks=2, rotations=False).train.inputs
    assert plain.max() == 255
    assert (plain[:, 0, 0] == 255).all()
    assert not (loaded(folder, ways=3, tasks=20).train.inputs[:, 0, 0] == 255).all()


@pytest.mark.parametrize(("by", "clients"), [("alphabet", 2), ("drawer", 32)])
def test_alphabets_and_drawers_hold_characters_under_their_own_names(folder, by, clients):
    dataset = loaded(folder, clients_by=by)
    assert dataset.task.outputs == 7
    assert len(dataset.test) == 7 * 4
    assert len(np.unique(dataset.train.groups)) == clients
    assert len(dataset.train) == 7 * 16
    assert "Greek/character01" in dataset.task.labels


def test_what_is_missing_or_damaged_is_said_in_a_sentence(tmp_path, folder, monkeypatch):
    monkeypatch.delenv("FEDLAB_DATA", raising=False)
    with pytest.raises(AssetMissing, match="brendenlake/omniglot"):
        Omniglot(OmniglotSettings()).load(0)
    with pytest.raises(FedlabError, match=r"data\.path: there is no"):
        loaded(tmp_path / "nowhere")
    with pytest.raises(FedlabError, match=r"data\.ways: no alphabet has 9 characters"):
        loaded(folder, ways=9)
    (tmp_path / "images_background_small1.zip").write_bytes(b"PK")
    with pytest.raises(FedlabError, match="is not a whole zip file"):
        loaded(folder)


def test_the_data_folder_is_looked_into(folder, monkeypatch):
    (folder.parent / "data").mkdir()
    folder.rename(folder.parent / "data" / "omniglot")
    monkeypatch.setenv("FEDLAB_DATA", str(folder.parent / "data"))
    found = Omniglot(OmniglotSettings(image_size=5, ways=2, tasks=2)).load(0)
    assert len(found.train) == 2 * 2 * DRAWERS
