"""MNIST, USPS and digits as domains, and USPS from one HDF5 file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from fedlab.data.dataset import Dataset
from fedlab.errors import FedlabError
from fedlab.registry import datasets


@pytest.fixture
def usps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a made-up usps.h5 of 30 + 10 pictures, in FEDLAB_DATA."""
    draw = np.random.default_rng(0)
    with h5py.File(tmp_path / "usps.h5", "w") as file:
        for part, count in (("train", 30), ("test", 10)):
            file[f"{part}/data"] = draw.random((count, 256), np.float32)
            file[f"{part}/target"] = (np.arange(count) % 10).astype(np.int32)
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    return tmp_path / "usps.h5"


def load(name: str, **keys: object) -> Dataset:
    source = datasets.get(name)
    dataset: Dataset = source(source.Settings(name=name, **keys)).load(3)
    return dataset


def test_usps_is_read_from_the_one_file(usps: Path) -> None:
    found = load("usps")
    assert (len(found.train), len(found.test)) == (30, 10)
    assert found.train.inputs.shape == (30, 1, 16, 16)
    with h5py.File(usps) as file:
        wanted = np.asarray(file["train/data"]).reshape(-1, 1, 16, 16) * 255
    assert np.abs(found.train.inputs.numpy() - wanted).max() <= 0.5
    assert found.train.targets[:12].tolist() == [*range(10), 0, 1]


def test_a_file_of_something_else_is_refused_in_a_sentence(usps: Path) -> None:
    with h5py.File(usps, "w") as file:
        file["train/data"] = np.zeros((3, 7))
    with pytest.raises(FedlabError, match=r"cannot be read as usps\.h5, which holds train/data"):
        load("usps")
    with pytest.raises(FedlabError, match=r"is no file; name usps\.h5"):
        load("usps", path="nowhere.h5")


def test_domains_are_groups_of_one_size_and_label_space(usps: Path) -> None:
    found = load("digit-domains", domains=("usps", "digits"), image_size=20)
    assert found.train.group_names == found.test.group_names == ("usps", "digits")
    assert found.train.groups is not None
    assert np.bincount(found.train.groups).tolist() == [30, 1437]
    assert found.test.groups is not None
    assert np.bincount(found.test.groups).tolist() == [10, 360]
    assert found.train.inputs.shape[1:] == found.task.input_shape == (1, 20, 20)
    assert found.train.inputs.dtype == torch.uint8


def test_pictures_of_the_size_asked_for_stay_as_they_are(usps: Path) -> None:
    found = load("digit-domains", domains=("usps",), image_size=16)
    assert torch.equal(found.train.inputs, load("usps").train.inputs)


def test_some_of_each_domain_are_drawn_by_the_seed(usps: Path) -> None:
    found = load("digit-domains", domains=("usps", "digits"), domain_examples=25)
    assert found.train.groups is not None
    assert np.bincount(found.train.groups).tolist() == [25, 25]


def test_a_domain_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        load("digit-domains", domains=("digits", "digits"))
