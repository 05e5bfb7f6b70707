"""Pictures of several sites: who is a client, what is tested, and what is odd."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedlab.data.dataset import Dataset
from fedlab.data.holdout import hold_out_by_group
from fedlab.errors import FedlabError
from fedlab.registry import datasets
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

SITES = {"north": 20, "south": 10, "west": 3}


def load(seed: int = 0, **keys) -> Dataset:
    source = datasets.get("imagefolder")
    settings = source.Settings(name="imagefolder", image_size=4, **keys)
    return source(settings).load(seed)


def paint(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 6), (level, 0, 0)).save(path)


def lay(root: Path, pattern: str = "{site}/{label}", **sites: int) -> Path:
    """Paint the pictures of two classes for each site; their red is the site's number."""
    for number, (site, count) in enumerate((sites or SITES).items()):
        for k in range(count):
            label = ("cat", "dog")[k % 2]
            paint(root / pattern.format(site=site, label=label) / f"{k}.png", 10 * number)
    return root


def in_test(data: Dataset) -> dict[str, int]:
    assert data.test.groups is not None
    counts = np.bincount(data.test.groups, minlength=len(data.test.group_names))
    return dict(zip(data.test.group_names, counts.tolist(), strict=True))


def test_the_first_folder_level_is_the_client(tmp_path):
    data = load(path=str(lay(tmp_path)), clients_by="folder")
    assert data.task.labels == ("cat", "dog")
    assert data.train.group_names == ("north", "south", "west")
    red = data.train.inputs[:, 0, 0, 0].numpy()
    assert (red == 10 * data.train.groups).all()


def test_each_site_keeps_its_share_in_the_test_set_with_all_classes(tmp_path):
    data = load(path=str(lay(tmp_path)), clients_by="folder")
    assert in_test(data) == {"north": 4, "south": 2, "west": 1}
    north = data.test.targets[data.test.groups == 0]
    assert north.bincount().tolist() == [2, 2]
    assert len(data.train) + len(data.test) == 33


def test_sites_by_list_stand_in_place_of_a_path(tmp_path):
    lay(tmp_path, north=6, south=6)
    sites = [{"name": "A", "path": str(tmp_path / "north")}]
    sites.append({"name": "B", "path": str(tmp_path / "south")})
    data = load(sites=tuple(sites))
    assert data.train.group_names == ("A", "B")
    assert in_test(data) == {"A": 1, "B": 1}


@pytest.mark.parametrize("pattern", ["{part}/{{site}}/{{label}}", "{{site}}/{part}/{{label}}"])
@pytest.mark.parametrize("parts", [("train", "test"), ("TRAIN", "Validation"), ("training", "dev")])
def test_parts_stand_above_sites_or_below(tmp_path, pattern, parts):
    lay(tmp_path, pattern.format(part=parts[0]), a=8, b=4)
    lay(tmp_path, pattern.format(part=parts[1]), a=2, b=2)
    data = load(path=str(tmp_path), clients_by="folder")
    assert in_test(data) == {"a": 2, "b": 2}
    assert len(data.train) == 12


def test_a_site_without_a_held_out_part_gives_a_fraction(tmp_path):
    lay(tmp_path, "{site}/train/{label}", a=8)
    lay(tmp_path, "{site}/test/{label}", a=2)
    lay(tmp_path, b=10)
    data = load(path=str(tmp_path), clients_by="folder")
    assert in_test(data) == {"a": 2, "b": 2}
    assert any("'b' has no part that is held out" in note for note in data.notes)


def test_the_natural_partition_is_understood_and_a_site_of_three_works(tmp_path):
    root = lay(tmp_path)
    data = {"name": "imagefolder", "path": str(root), "clients_by": "folder", "partition": None}
    federation = load_federation(scenario_with({"data": data}))
    assert federation.partition.names == ("north", "south", "west")
    assert federation.partition.sizes.tolist() == [16, 8, 2]


def test_a_site_that_lacks_a_class_or_pictures_is_named(tmp_path):
    root = lay(tmp_path, a=6, b=6)
    for file in (root / "b" / "dog").iterdir():
        file.unlink()
    (root / "c" / "cat").mkdir(parents=True)
    notes = load(path=str(root), clients_by="folder").notes
    assert "data.path: the site 'c' holds no pictures, and is left out" in notes
    assert any(note.endswith("of every class: 'b' lacks 'dog'") for note in notes)


def test_a_site_of_one_picture_is_learned_from_and_named(tmp_path):
    data = load(path=str(lay(tmp_path, a=6, b=6, c=1)), clients_by="folder")
    assert in_test(data) == {"a": 1, "b": 1, "c": 0}
    assert any("nothing of 'c' is in the test set" in note for note in data.notes)


def test_a_class_that_a_site_spells_otherwise_is_refused_with_both_names(tmp_path):
    root = lay(tmp_path, a=6, b=6)
    (root / "b" / "dog").rename(root / "b" / "Dog")
    with pytest.raises(FedlabError, match="'Dog' in 'b' and 'dog' in 'a'"):
        load(path=str(root), clients_by="folder")


def test_folders_that_are_not_what_was_meant_are_refused(tmp_path):
    lay(tmp_path / "one", north=6)
    with pytest.raises(FedlabError, match=r"holds one folder, 'north'.* two or more are needed"):
        load(path=str(tmp_path / "one"), clients_by="folder")
    with pytest.raises(FedlabError, match=r"'cat' holds pictures and no class folders; .*leave"):
        load(path=str(tmp_path / "one" / "north"), clients_by="folder")
    sites = ({"name": "A", "path": str(tmp_path / "one" / "north")},) * 2
    with pytest.raises(FedlabError, match="two sites are called 'A'"):
        load(sites=sites)
    with pytest.raises(FedlabError, match="'A' and 'B' have one path"):
        load(sites=(sites[0], sites[0] | {"name": "B"}))


def test_sites_that_are_learned_as_classes_get_a_note(tmp_path):
    data = load(path=str(lay(tmp_path, a=6, b=6)))
    assert data.task.labels == ("a", "b")
    assert any("data.clients_by = 'folder' makes each" in note for note in data.notes)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {},
            "data: path is missing; name one folder or file (path), or one for each client (sites)",
        ),
        (
            {"path": "x", "sites": [{"name": "A", "path": "y"}]},
            "data: both path and sites are there; name one",
        ),
        ({"sites": [{"name": "A"}]}, "data.sites.0.path is missing"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, said):
    with pytest.raises(FedlabError) as refused:
        scenario_with({"data": {"name": "imagefolder", **keys}})
    assert said in str(refused.value)


def test_pictures_without_classes_serve_where_none_are_needed(tmp_path):
    for number in range(10):
        paint(tmp_path / f"{number}.png", number)
    with pytest.raises(FedlabError, match=r"data\.task = 'reconstruction'"):
        load(path=str(tmp_path))
    keys = {"name": "imagefolder", "path": str(tmp_path), "task": "reconstruction"}
    scenario = scenario_with({"data": keys, "model": {"name": "autoencoder", "code": 2}})
    federation = load_federation(scenario)
    assert federation.dataset.task.kind == "reconstruction"
    assert (len(federation.dataset.train), len(federation.dataset.test)) == (8, 2)


def test_sites_without_classes_are_clients_too(tmp_path):
    for site in ("a", "b"):
        for number in range(5):
            paint(tmp_path / site / f"{number}.png", number)
    keys = {"name": "imagefolder", "path": str(tmp_path), "task": "reconstruction"}
    keys |= {"clients_by": "folder", "partition": None}
    scenario = scenario_with({"data": keys, "model": {"name": "autoencoder", "code": 2}})
    assert load_federation(scenario).partition.names == ("a", "b")


def test_rows_held_out_of_groups_keep_shares_of_classes():
    groups = np.repeat([0, 1, 2], [50, 10, 1])
    classes = np.concatenate([np.repeat([0, 1], [30, 20]), np.repeat([0, 1], [9, 1]), [0]])
    train, test = hold_out_by_group(groups, 0.2, 3, classes)
    assert sorted([*train, *test]) == list(range(61))
    assert np.bincount(groups[test], minlength=3).tolist() == [10, 2, 0]
    assert np.bincount(classes[test][groups[test] == 0]).tolist() == [6, 4]
    assert np.bincount(classes[test][groups[test] == 1]).tolist() == [2]
    assert np.array_equal(test, hold_out_by_group(groups, 0.2, 3, classes)[1])
    assert not np.array_equal(test, hold_out_by_group(groups, 0.2, 4, classes)[1])


def test_of_a_class_of_one_group_a_row_is_left_to_learn_from():
    groups = np.array([0] * 10 + [1] * 3 + [2] * 2)
    classes = np.array([0, 1] * 5 + [2, 0, 1] + [3, 3])
    for seed in range(20):
        train, test = hold_out_by_group(groups, 0.2, seed, classes)
        assert {*classes[test]} <= {*classes[train]}
        assert {*groups[test]} == {0, 1, 2}
    alone = hold_out_by_group(np.array([0, 0, 0, 1, 1]), 0.5, 0, np.array([0, 0, 0, 1, 2]))
    assert len(alone[1]) == 2
    assert {*alone[1]} < {0, 1, 2}
