"""A folder of pictures becomes a scenario that runs, or one sentence says what is wrong."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.scenario import load
from fedlab.use.finetune import FineTuning, compose, write


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
    return tmp_path / "pets"


def fine_tuning(pictures: Path, **changes: Any) -> FineTuning:
    return FineTuning(**{"data": pictures, "backbone": "lenet", **changes})


def test_the_written_file_is_the_scenario_that_runs(pictures: Path, tmp_path: Path) -> None:
    wanted = fine_tuning(
        pictures,
        clients=7,
        partition="dirichlet",
        rounds=4,
        trainable="head",
        overrides=("data.partition.alpha=0.3", "client.epochs=2"),
    )
    content, scenario = compose(wanted)
    path = write(content, wanted.name, tmp_path / "pets.toml")
    assert load(str(path)).model_dump() == scenario.model_dump()
    found = tomllib.loads(path.read_text())
    assert found["data"]["path"] == str(pictures)
    assert found["data"]["partition"] == {"name": "dirichlet", "clients": 7, "alpha": 0.3}
    assert found["client"]["epochs"] == 2
    assert found["rounds"] == 4
    assert found["model"]["trainable"] == "head"


@pytest.mark.parametrize(
    ("backbone", "pretrained"),
    [("tf_efficientnet_lite0", "package"), ("resnet18", True), ("lenet", False)],
)
def test_weights_come_from_a_package_where_one_ships_them(
    pictures: Path, backbone: str, pretrained: bool | str
) -> None:
    content, _ = compose(fine_tuning(pictures, backbone=backbone))
    assert content["model"]["pretrained"] == pretrained
    content, _ = compose(fine_tuning(pictures, backbone=backbone, pretrained=False))
    assert content["model"]["pretrained"] is False


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"backbone": "resnet81"}, r"model\.name: unknown model 'resnet81'"),
        ({"partition": "dirichle"}, "Did you mean 'dirichlet'"),
        ({"clients": 0}, r"data\.partition\.clients"),
        ({"rounds": 0}, "rounds"),
        ({"image_size": 2}, r"data\.image_size"),
        ({"overrides": ("client.epoch=1",)}, "Did you mean 'epochs'"),
        ({"overrides": ("rounds",)}, r"write it as table\.key=value"),
        ({"data": Path("absent")}, "there is no folder absent"),
    ],
)
def test_a_mistake_is_reported_before_anything_is_written(
    pictures: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedlabError, match=sentence):
        compose(fine_tuning(pictures, **changes))


def test_a_folder_that_no_scenario_can_name_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(FedlabError, match=r"--data: the name of .*caf\\xe9 is not UTF-8"):
        compose(fine_tuning(folder))


def test_a_file_that_is_there_is_not_overwritten(pictures: Path, tmp_path: Path) -> None:
    content, _ = compose(fine_tuning(pictures))
    path = write(content, "pets", tmp_path / "pets.toml")
    before = path.read_text()
    with pytest.raises(FedlabError, match="is there already"):
        write(content | {"rounds": 9}, "pets", path)
    assert path.read_text() == before


def test_without_a_file_name_a_free_one_is_taken(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, _ = compose(fine_tuning(pictures))
    assert [str(write(content, "pets", None)) for _ in range(3)] == [
        "pets.toml",
        "pets-2.toml",
        "pets-3.toml",
    ]


def test_a_file_that_is_no_toml_file_is_refused(pictures: Path, tmp_path: Path) -> None:
    content, _ = compose(fine_tuning(pictures))
    with pytest.raises(FedlabError, match=r"should end in \.toml"):
        write(content, "pets", tmp_path / "pets.txt")


def test_no_folder_is_made_and_no_link_followed(pictures: Path, tmp_path: Path) -> None:
    content, _ = compose(fine_tuning(pictures))
    with pytest.raises(FedlabError, match=f"there is no folder {tmp_path / 'absent'}"):
        write(content, "pets", tmp_path / "absent" / "pets.toml")
    (tmp_path / "link.toml").symlink_to(tmp_path / "target.toml")
    with pytest.raises(FedlabError, match="is a link to"):
        write(content, "pets", tmp_path / "link.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.toml", "pets"]


def test_a_file_of_weights_is_written_with_its_whole_path(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, _ = compose(fine_tuning(pictures, pretrained="weights.pt"))
    assert content["model"]["pretrained"] == str(tmp_path / "weights.pt")
