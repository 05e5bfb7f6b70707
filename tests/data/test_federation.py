"""How many examples a federation is given, and that the draw is the scenario's own."""

import pytest
import torch

from fedlab.data.federation import Federation
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with


def federation(
    keys: str = "", evaluation: str = "", seed: int = 3, data: str = "digits"
) -> Federation:
    source = {"rounds": 1, "data": {"name": data, "partition": {"clients": 4}}}
    return load_federation(scenario_with(source, data=keys, evaluation=evaluation, seed=seed))


def test_a_cap_on_training_examples_leaves_the_test_set_alone() -> None:
    whole, capped = federation(), federation("train_examples = 101")
    assert len(capped.dataset.train) == 101
    assert sum(len(capped.partition.rows(client)) for client in range(4)) == 101
    assert torch.equal(capped.dataset.test.inputs, whole.dataset.test.inputs)


def test_a_cap_on_test_examples_leaves_the_training_set_alone() -> None:
    whole, capped = federation(), federation(evaluation="test_examples = 51")
    assert len(capped.dataset.test) == 51
    assert torch.equal(capped.dataset.train.inputs, whole.dataset.train.inputs)


def test_examples_under_a_cap_are_drawn_by_the_seed() -> None:
    first, again, other = (federation("train_examples = 50", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.dataset.train.inputs, again.dataset.train.inputs)
    assert not torch.equal(first.dataset.train.inputs, other.dataset.train.inputs)
    whole = federation().dataset.train
    pairs = {
        (picture.numpy().tobytes(), int(target))
        for picture, target in zip(whole.inputs, whole.targets, strict=True)
    }
    drawn = first.dataset.train
    assert {
        (picture.numpy().tobytes(), int(target))
        for picture, target in zip(drawn.inputs, drawn.targets, strict=True)
    } <= pairs


@pytest.mark.parametrize("limit", [1437, 100_000])
def test_a_cap_beyond_what_there_is_changes_nothing(limit: int) -> None:
    capped = federation(f"train_examples = {limit}").dataset.train
    assert torch.equal(capped.inputs, federation().dataset.train.inputs)


def test_made_up_data_makes_as_many_examples_as_are_asked_for() -> None:
    keys = "train_examples = 2500\nnoise_steps = 3"
    assert len(federation(keys, data="long-range").dataset.train) == 2500


def test_a_clients_test_part_is_neither_trained_nor_validated_on() -> None:
    held = federation("client_test = 0.25\nvalidation = 0.1")
    for client in range(4):
        training, validation = held.rows(client)
        test = held.evaluation_rows(client)
        size = len(held.partition.rows(client))
        assert len(test) == round(size * 0.25)
        assert len(validation) == round((size - len(test)) * 0.1)
        together = {*training.tolist(), *validation.tolist(), *test.tolist()}
        assert together == set(held.partition.rows(client).tolist())
        assert len(together) == len(training) + len(validation) + len(test)
        again = federation("client_test = 0.25\nvalidation = 0.2").evaluation_rows(client)
        assert again.tolist() == test.tolist()


def test_without_a_test_part_clients_use_their_validation_parts() -> None:
    held = federation("validation = 0.1")
    assert held.evaluation_rows(1).tolist() == held.rows(1)[1].tolist()
