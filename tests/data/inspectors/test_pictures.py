"""What is found in folders of pictures, and the scenario that is proposed for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlab.data.inspection import inspect
from fedlab.errors import FedlabError


def paint(path: Path, number: int, size=(40, 30), mode="RGB", **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **how)


@pytest.fixture
def hospitals(tmp_path):
    for number in range(8):
        for site in ("north", "south", "east"):
            for name in ("ill", "well"):
                if (site, name) != ("east", "ill"):
                    key = 100 * len(site) + 10 * len(name) + number + ord(site[0]) * 1000
                    paint(tmp_path / "h" / site / name / f"{number}.png", key)
    return tmp_path / "h"


def test_folders_that_recur_are_classes_and_those_above_them_sites(hospitals):
    found = inspect(hospitals)
    assert found.kind == "pictures"
    assert found.layout == "<site>/<class>"
    assert found.classes == {"ill": 16, "well": 24}
    assert found.sites == {"east": 8, "north": 16, "south": 16}
    assert found.scenario["data"]["clients_by"] == "folder"
    assert "'east' lacks 'ill'" in " ".join(found.notes)


def test_one_level_of_folders_is_classes_with_iid_clients(hospitals):
    found = inspect(hospitals / "north")
    assert found.layout == "<class>"
    assert found.sites == {}
    assert "clients_by" not in found.scenario["data"]


def test_parts_above_and_below_sites_are_told(tmp_path):
    key = 0
    for first, second in (("{part}/{site}", "<part>/<site>"), ("{site}/{part}", "<site>/<part>")):
        root = tmp_path / second[1:5]
        for site in ("a1", "b1"):
            for part in ("TRAIN", "testing"):
                for name in ("x", "y"):
                    key += 1
                    paint(root / first.format(part=part, site=site) / name / "1.png", key)
        found = inspect(root)
        assert found.layout == f"{second}/<class>"
        assert (found.examples, found.details["held_out"]) == (8, 4)


def test_sizes_formats_modes_turns_and_damage_are_told(tmp_path):
    paint(tmp_path / "a" / "1.jpg", 1, (200, 100))
    exif = Image.Exif()
    exif[0x0112] = 6
    paint(tmp_path / "a" / "2.jpg", 2, (80, 60), exif=exif)
    paint(tmp_path / "b" / "3.png", 3, mode="RGBA")
    paint(tmp_path / "b" / "4.png", 4, mode="L")
    whole = (tmp_path / "a" / "1.jpg").read_bytes()
    (tmp_path / "b" / "5.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b" / "6.jpg").write_bytes(b"")
    found = inspect(tmp_path)
    assert found.details["formats"] == {"JPEG": 3, "PNG": 2}
    assert found.details["modes"] == {"RGB": 3, "RGBA": 1, "L": 1}
    assert found.details["turned"] == 1
    assert found.details["width"] == {"min": 40, "median": 80.0, "max": 200}
    assert found.details["unreadable"] == 2
    note = next(note for note in found.notes if "cannot be read" in note)
    assert "5.jpg is not a whole picture" in note
    assert "6.jpg" in note
    assert found.scenario["data"]["on_error"] == "skip"


def test_the_same_picture_in_two_classes_is_told(tmp_path):
    for number in range(3):
        paint(tmp_path / "a" / f"{number}.png", number)
        paint(tmp_path / "b" / f"{number}.png", number + (0 if number == 2 else 50))
    (note,) = inspect(tmp_path).notes
    assert note.startswith("1 file repeats the content of others")
    assert "in several classes" in note
    assert "a/2.png" in note
    assert "b/2.png" in note


def test_a_folder_in_a_folder_is_looked_into(hospitals, tmp_path):
    (tmp_path / "outer").mkdir()
    hospitals.rename(tmp_path / "outer" / "unpacked")
    found = inspect(tmp_path / "outer")
    assert found.layout == "<site>/<class>"
    assert found.scenario["data"]["path"] == str(tmp_path / "outer" / "unpacked")
    assert "holds one folder, 'unpacked'" in found.notes[0]
    (tmp_path / "outer" / "unpacked").rename(tmp_path / "outer" / "train")
    assert inspect(tmp_path / "outer").layout == "<site>/<class>"


def test_pictures_without_folders_are_for_reconstruction(tmp_path):
    for number in range(4):
        paint(tmp_path / f"{number}.png", number)
    found = inspect(tmp_path)
    assert found.classes == {}
    assert found.scenario["data"]["task"] == "reconstruction"
    assert not any("left out" in note for note in found.notes)


def test_a_path_with_nothing_to_read_is_a_sentence(tmp_path):
    with pytest.raises(FedlabError, match="there is no file or folder"):
        inspect(tmp_path / "none")
    (tmp_path / "a").mkdir()
    with pytest.raises(FedlabError, match="holds no files"):
        inspect(tmp_path / "a")
    (tmp_path / "a" / "x.xyz").write_bytes(b"\x00")
    with pytest.raises(FedlabError, match=r"nothing that is read \(files: \.xyz\)"):
        inspect(tmp_path / "a")
    with pytest.raises(FedlabError, match="unknown kind of data 'picture'"):
        inspect(tmp_path / "a", "picture")


@pytest.mark.parametrize(
    ("name", "advice"), [("a.csv.gz", "unpack it first"), ("a.xlsx", "save the sheet as CSV")]
)
def test_a_file_that_is_not_read_comes_with_what_to_do(tmp_path, name, advice):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(FedlabError, match=f"; {advice}$"):
        inspect(tmp_path / name)
