"""A cohort is drawn as Flower draws it, without listing the population."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import strategy as flower

from fedlab.registry import strategies
from fedlab.wire import flower_internals

ADOPTED = ["fedavg", "fedprox", "fedadam", "fedmedian", "krum"]


class Nodes:
    """A grid that has these nodes and nothing else."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> Iterable[int]:
        return self._nodes


def drawn(strategy: Any, grid: Any, method: str, seed: int) -> list[int]:
    flower_internals.assume_identity()
    random.seed(seed)
    arrays = ArrayRecord({"weights": Array(np.zeros(1, np.float32))})
    messages = list(getattr(strategy, method)(3, arrays, ConfigRecord(), grid))
    assert all(m.content["config"]["server-round"] == 3 for m in messages)
    return [message.metadata.dst_node_id for message in messages]


@pytest.mark.parametrize("name", ADOPTED)
@pytest.mark.parametrize("method", ["configure_train", "configure_evaluate"])
@pytest.mark.parametrize("population", [7, 1000])
def test_the_same_seed_draws_the_nodes_that_flower_draws(
    name: str, method: str, population: int
) -> None:
    cls = strategies.get(name)
    keys = {"fraction_train": 0.3, "fraction_evaluate": 0.4, "min_train_nodes": 1}
    ours = cls.from_settings(cls.Settings(name=name, **keys))
    theirs = getattr(flower, cls.__name__)(**keys, min_available_nodes=1)
    for seed in range(3):
        ids = range(2, 2 + population)
        assert drawn(ours, Nodes(ids), method, seed) == drawn(
            theirs, Nodes(list(ids)), method, seed
        )


def test_a_cohort_of_a_population_too_large_to_list_is_drawn() -> None:
    settings = strategies.get("fedavg").Settings(fraction_train=1e-14, min_train_nodes=1)
    strategy = strategies.get("fedavg").from_settings(settings)
    cohort = drawn(strategy, Nodes(range(2, 10**16)), "configure_train", 1)
    assert len(set(cohort)) == 99
    assert max(cohort) > 10**15


def test_nodes_that_are_no_range_are_left_to_flower() -> None:
    settings = strategies.get("fedavg").Settings(fraction_train=0.5)
    strategy = strategies.get("fedavg").from_settings(settings)
    cohort = drawn(strategy, Nodes([5, 901, 77, 12]), "configure_train", 1)
    assert len(cohort) == 2
    assert set(cohort) <= {5, 901, 77, 12}


def test_no_evaluation_sends_no_message() -> None:
    settings = strategies.get("fedavg").Settings(fraction_evaluate=0.0)
    strategy = strategies.get("fedavg").from_settings(settings)
    assert drawn(strategy, Nodes(range(2, 9)), "configure_evaluate", 1) == []
