"""Virtual clients: drawn from (seed, client) alone, whatever the population."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Examples, Task
from fedlab.data.description import described_clients, statistics
from fedlab.data.partition import Partition
from fedlab.errors import FedlabError
from fedlab.registry import partitioners

LABELS = np.repeat(np.arange(10), 200)
EXAMPLES = Examples(torch.zeros(2000, 1), torch.from_numpy(LABELS))
TASK = Task("classification", "tabular", (1,), 10)
MILLION = 1_000_000


def virtual(seed: int = 3, **keys: Any) -> Partition:
    cls = partitioners.get("virtual")
    settings = cls.Settings(**{"name": "virtual", "clients": MILLION, "alpha": 0.3, **keys})
    partition: Partition = cls(settings).split(EXAMPLES, TASK, seed)
    return partition


def counts(partition: Partition, client: int) -> Any:
    return np.bincount(LABELS[partition.rows(client)], minlength=10)


def test_a_million_clients_take_no_more_memory_than_ten() -> None:
    assert len(pickle.dumps(virtual())) <= len(pickle.dumps(virtual(clients=10))) + 8


def test_a_clients_rows_depend_on_seed_and_client_alone() -> None:
    first, again, small = virtual(), virtual(), virtual(clients=7)
    again.rows(999_999)
    for client in (0, 6):
        np.testing.assert_array_equal(first.rows(client), again.rows(client))
        np.testing.assert_array_equal(first.rows(client), small.rows(client))
    assert not np.array_equal(first.rows(0), first.rows(1))
    assert not np.array_equal(first.rows(0), virtual(seed=4).rows(0))


def test_a_client_holds_no_row_twice_while_its_classes_last() -> None:
    partition = virtual(examples=150, alpha=0.05)
    for client in range(50):
        rows = partition.rows(client)
        assert len(rows) == len(set(rows.tolist())) == 150


def test_a_class_that_is_used_up_is_drawn_from_again() -> None:
    rows = virtual(examples=900, alpha=0.001).rows(5)
    assert len(rows) == 900
    assert len(set(rows.tolist())) <= 400


def test_shares_of_classes_have_the_moments_of_a_dirichlet_draw() -> None:
    # Of Dir(α, ..., α) over 10 classes: mean 1/10, variance 0.1 · 0.9 / (10 α + 1); multinomial
    # counts of n rows add (E[p] − E[p²]) / n.
    alpha, size = 0.5, 100
    partition = virtual(examples=size, alpha=alpha)
    shares = np.array([counts(partition, client) for client in range(3000)]) / size
    second = 0.09 / (10 * alpha + 1) + 0.01
    expected = second - 0.01 + (0.1 - second) / size
    assert shares.mean(axis=0) == pytest.approx(np.full(10, 0.1), abs=0.015)
    assert shares.var() == pytest.approx(expected, rel=0.05)


def test_without_alpha_no_classes_are_needed() -> None:
    partition = virtual(alpha=None, examples=100)
    pooled = np.array([counts(partition, client) for client in range(300)])
    assert pooled.mean(axis=0) == pytest.approx(np.full(10, 10.0), abs=0.6)
    assert pooled.std() < 4
    cls = partitioners.get("virtual")
    regression = Task("regression", "tabular", (1,), 1)
    with pytest.raises(FedlabError, match="splits by class"):
        cls(cls.Settings(clients=5, alpha=1.0)).split(EXAMPLES, regression, 0)
    assert len(cls(cls.Settings(clients=5)).split(EXAMPLES, regression, 0).rows(4)) == 60


def test_sizes_are_log_normal_with_the_mean_asked_for() -> None:
    partition = virtual(examples=200, size_sigma=0.5)
    sizes = np.array([partition.size(client) for client in range(4000)])
    assert sizes.mean() == pytest.approx(200, rel=0.03)
    assert np.log(sizes).std() == pytest.approx(0.5, rel=0.05)
    assert all(len(partition.rows(client)) == sizes[client] for client in range(20))


def test_statistics_look_at_five_thousand_clients_at_most() -> None:
    looked_at = []

    class Counting(type(virtual())):  # type: ignore[misc]
        def rows(self, client: int) -> Any:
            looked_at.append(client)
            return super().rows(client)

    partition = virtual()
    described = statistics(Counting(**vars(partition)), EXAMPLES, TASK)
    assert len(looked_at) == len(described["sizes"]) == len(described["counts"]) == 5000
    assert described["clients"] == MILLION
    assert described["described"] == {"clients": 5000, "every": 200}


@pytest.mark.parametrize("population", [1, 4999, 5000, 5001, 12_345, MILLION])
def test_described_clients_are_all_or_spread_over_the_population(population: int) -> None:
    looked_at = described_clients(virtual(clients=population))
    assert len(looked_at) <= 5000
    assert population - looked_at[-1] <= looked_at.step
    assert len(looked_at) == population or looked_at.step > 1
