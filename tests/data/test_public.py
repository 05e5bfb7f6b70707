"""Public examples: whose they are, and what is refused."""

from __future__ import annotations

import gzip
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.federation import Federation
from fedlab.errors import FedlabError
from fedlab.scenario import dumps, loads
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

BASE = {"rounds": 1, "data": {"train_examples": 300, "partition": {"clients": 4}}}
OWN = "examples = 60"


def _public(text: str) -> dict[str, Any]:
    return {"data": {"public": tomllib.loads(text)}} if text else {}


def federation(public: str, seed: int = 3) -> Federation:
    return load_federation(scenario_with(BASE, _public(public), seed=seed))


def pictures(inputs: torch.Tensor) -> list[bytes]:
    return sorted(picture.numpy().tobytes() for picture in inputs)


def test_they_are_drawn_before_the_split_and_are_nobodys() -> None:
    whole, drawn = federation(""), federation(OWN)
    assert whole.public is None
    assert drawn.public is not None
    assert len(drawn.public) == 60
    assert len(drawn.dataset.train) == 240
    assert sum(len(drawn.partition.rows(client)) for client in range(4)) == 240
    together = torch.cat([drawn.public.inputs, drawn.dataset.train.inputs])
    assert pictures(together) == pictures(whole.dataset.train.inputs)
    assert torch.equal(drawn.dataset.test.inputs, whole.dataset.test.inputs)


def test_the_seed_decides_which() -> None:
    first, again, other = (federation(OWN, seed).public for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)


def test_they_go_along_to_other_processes() -> None:
    sent = federation(OWN)
    came = pickle.loads(pickle.dumps(sent))
    assert torch.equal(came.public.inputs, sent.public.inputs)  # type: ignore[union-attr]
    assert torch.equal(came.public.targets, sent.public.targets)  # type: ignore[union-attr]
    assert pickle.loads(pickle.dumps(federation(""))).public is None


def write_idx(folder: Path, part: str, count: int, side: int) -> None:
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (count, side, side), dtype=np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    for stem, array in (("images-idx3", pictures), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(
            size.to_bytes(4, "big") for size in array.shape
        )
        folder.mkdir(parents=True, exist_ok=True)
        with gzip.open(folder / f"{part}-{stem}-ubyte.gz", "wb") as file:
            file.write(header + array.tobytes())


def test_public_data_of_the_same_shape_leaves_clients_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path))
    for part, count in (("train", 50), ("t10k", 10)):
        write_idx(tmp_path / "mnist", part, count, side=8)
    found = federation('name = "mnist"\nexamples = 20')
    assert found.public is not None
    assert len(found.public) == 20
    assert len(found.dataset.train) == 300
    with pytest.raises(FedlabError, match=r"data\.public\.examples: 'mnist' does not have 51"):
        federation('name = "mnist"\nexamples = 51')


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("examples = 300", "of 300 training examples, 300 cannot be public"),
        ("examples = 1", "data.public.examples: it must be at least 2"),
        ('name = "digits"\nexamples = 20', "'digits' is what clients hold"),
        (
            'name = "iris"\nexamples = 20',
            "'iris' has tabular inputs of shape 4, and the clients' 'digits' image inputs of shape "
            "1×8×8",
        ),
        ('name = "mnits"\nexamples = 20', "Did you mean 'mnist'"),
        ('name = "iris"\nexamples = 20\ntest_fractoin = 0.2', "Did you mean 'test_fraction'"),
        ("exmples = 20", "Did you mean 'examples'"),
    ],
)
def test_what_cannot_be_is_refused(keys: str, said: str) -> None:
    with pytest.raises(FedlabError) as refused:
        federation(keys)
    assert said in str(refused.value)


def test_a_scenario_keeps_the_other_data_sets_keys_when_written() -> None:
    keys = 'name = "iris"\nexamples = 20\ntest_fraction = 0.3'
    text = dumps(scenario_with(BASE, _public(keys), seed=3))
    assert loads(text).data.public.test_fraction == 0.3  # type: ignore[union-attr]
