"""Shifts of clients' pictures: what they compute, whose pictures they change, what is a domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Task
from fedlab.data.federation import Federation
from fedlab.data.shift import Shift
from fedlab.errors import FedlabError
from fedlab.registry import shifts
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

GREY = Task("classification", "image", (1, 8, 8), 10)
COLOURED = Task("classification", "image", (3, 8, 8), 10)


def shift(name: str, task: Task = GREY) -> Shift:
    found = shifts.get(name)
    made: Shift = found(found.Settings(name=name), task, "data.shift.0")
    return made


def changed(name: str, strength: float, pictures: torch.Tensor) -> torch.Tensor:
    task = COLOURED if pictures.shape[1] == 3 else GREY
    return shift(name, task).changed(pictures, strength, torch.Generator().manual_seed(0))


def federation(*tables: dict[str, Any], clients: int = 3, **data: Any) -> Federation:
    own = {"shift": list(tables), "partition": {"clients": clients}, **data}
    return load_federation(scenario_with({"data": own}))


def pictures(count: int = 4, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(1))


def test_a_quarter_turn_is_one() -> None:
    assert torch.allclose(
        changed("rotation", 90, pictures()), torch.rot90(pictures(), 1, (2, 3)), atol=1e-5
    )


def test_contrast_multiplies_distances_to_the_mean() -> None:
    given = pictures().numpy()
    mean = given.mean((1, 2, 3), keepdims=True)
    found = changed("contrast", 0.25, pictures()).numpy()
    assert np.allclose(found, mean + 0.25 * (given - mean), atol=1e-6)


def test_noise_has_the_deviation_asked_for() -> None:
    grey = torch.full((64, 1, 32, 32), 0.5)
    noise = changed("noise", 0.1, grey) - grey
    assert abs(float(noise.std()) - 0.1) < 0.002
    assert abs(float(noise.mean())) < 0.002


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    point = torch.zeros(1, 1, 15, 15)
    point[0, 0, 7, 7] = 1
    found = changed("blur", 1.5, point)[0, 0]
    ratio = float(found[7, 8] / found[7, 7])
    assert abs(ratio - np.exp(-1 / (2 * 1.5**2))) < 1e-3
    assert torch.equal(changed("blur", 0, point), point)


def test_half_a_turn_of_hue_makes_red_cyan() -> None:
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1
    cyan = 1 - red
    assert torch.allclose(changed("colour", 0.5, red), cyan, atol=1e-5)
    with pytest.raises(FedlabError, match="pictures are grey"):
        shift("colour")


def test_clients_take_the_strengths_in_turn_and_each_is_a_domain() -> None:
    plain = federation(clients=5)
    found = federation({"name": "rotation", "strengths": [0, 90]}, clients=5)
    assert found.dataset.train.group_names == ("rotation 0°", "rotation 90°")
    for client in range(5):
        rows = plain.partition.rows(client)
        wanted = torch.rot90(plain.dataset.train.inputs[rows], client % 2, (2, 3))
        assert torch.equal(found.dataset.train.inputs[rows], wanted)
        assert found.dataset.train.groups is not None
        assert set(found.dataset.train.groups[rows]) == {client % 2}


def test_test_pictures_are_dealt_evenly_to_the_domains() -> None:
    plain, found = federation(), federation({"name": "rotation", "strengths": [0, 90, 180]})
    groups = found.dataset.test.groups
    assert groups is not None
    assert np.bincount(groups).tolist() == [120, 120, 120]
    for number in range(3):
        rows = groups == number
        wanted = torch.rot90(plain.dataset.test.inputs[rows], number, (2, 3))
        assert torch.equal(found.dataset.test.inputs[rows], wanted)


def test_shifts_of_some_clients_compose_and_leave_the_others_alone() -> None:
    found = federation(
        {"name": "rotation", "strengths": [90], "clients": [1, 2]},
        {"name": "noise", "strengths": [0.2], "clients": [2]},
    )
    names = ("unshifted", "rotation 90°", "rotation 90°, noise 0.2")
    assert found.dataset.train.group_names == names


def test_the_same_seed_draws_the_same_noise() -> None:
    first, again = (federation({"name": "noise", "strengths": [0.3]}) for _ in range(2))
    assert torch.equal(first.dataset.train.inputs, again.dataset.train.inputs)
    assert first.dataset.train.groups is None  # Of one strength for all there are no domains.


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "rotation", "clients": [7]}, "data.shift.0.clients: there is no client 7"),
        ({"name": "rotation", "clients": ["x"]}, "'x' is a name, and these clients have none"),
        ({"name": "colour"}, "pictures are grey"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FedlabError, match=sentence):
        federation(table)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(FedlabError, match="holds tabular inputs"):
        federation({"name": "blur"}, name="iris")


def test_an_unknown_shift_and_a_strength_out_of_range_are_refused() -> None:
    with pytest.raises(FedlabError, match="unknown shift 'rotatoin'"):
        scenario_with({"data": {"shift": [{"name": "rotatoin"}]}})
    with pytest.raises(FedlabError, match="strengths"):
        scenario_with({"data": {"shift": [{"name": "rotation", "strengths": [900]}]}})
