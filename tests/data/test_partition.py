import math

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Examples, Task
from fedlab.data.description import statistics
from fedlab.data.partition import Partition, split_validation
from fedlab.errors import FedlabError


def classification(classes: int, labels: tuple[str, ...] = ()) -> Task:
    return Task("classification", "tabular", (1,), classes, labels)


def examples(labels: list[int]) -> Examples:
    return Examples(torch.zeros(len(labels), 1), torch.tensor(labels))


def test_partition_gives_back_the_rows_of_each_client():
    partition = Partition.of([[4, 2], [0], [1, 3, 5]])
    assert len(partition) == 3
    assert partition.sizes.tolist() == [2, 1, 3]
    assert [partition.rows(client).tolist() for client in range(3)] == [[4, 2], [0], [1, 3, 5]]
    assert partition.rows(0).dtype == np.int64


def test_partition_with_an_empty_client_is_refused():
    with pytest.raises(FedlabError, match=r"data\.partition: 1 of 2 clients .* client 1"):
        Partition.of([[0, 1], []])


def test_validation_and_training_rows_are_disjoint_and_complete():
    rows = np.arange(100, 150)
    training, validation = split_validation(rows, 0.2, seed=3, client=7)
    assert len(validation) == 10
    assert sorted([*training, *validation]) == rows.tolist()


def test_validation_split_depends_on_seed_and_client_only():
    rows = np.arange(1000)
    first, again = (split_validation(rows, 0.3, 5, 2)[1] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, split_validation(rows, 0.3, 5, 3)[1])
    assert not np.array_equal(first, split_validation(rows, 0.3, 6, 2)[1])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_validation_leaves_an_example_to_train_on(count):
    training, validation = split_validation(np.arange(count), 0.99, 0, 0)
    assert len(training) == 1
    assert len(validation) == count - 1


def test_no_validation_part_keeps_all_rows_in_order():
    rows = np.array([5, 3, 9])
    training, validation = split_validation(rows, 0.0, 0, 0)
    assert training.tolist() == [5, 3, 9]
    assert len(validation) == 0


def test_statistics_of_disjoint_classes():
    partition = Partition.of([[0, 1], [2, 3]], ["left", "right"])
    described = statistics(partition, examples([0, 0, 1, 1]), classification(2, ("a", "b")))
    assert described == {
        "clients": 2,
        "sizes": [2, 2],
        "names": ["left", "right"],
        "labels": ["a", "b"],
        "counts": [[2, 0], [0, 2]],
        "skew": {"size_gini": 0.0, "label_distance": 0.5, "effective_classes": 1.0},
    }


def test_statistics_of_an_even_split_show_no_skew():
    described = statistics(
        Partition.of([[0, 2], [1, 3]]), examples([0, 0, 1, 1]), classification(2)
    )
    assert described["labels"] == ["0", "1"]
    assert described["skew"]["label_distance"] == 0
    assert described["skew"]["effective_classes"] == pytest.approx(2)


def test_statistics_by_hand():
    partition = Partition.of([[0], [1, 2, 3]])
    skew = statistics(partition, examples([0, 0, 1, 1]), classification(2))["skew"]
    # Sizes 1 and 3: G = (−1·1 + 1·3) / (2·4). Shares (1, 0) and (1/3, 2/3), pooled (1/2, 1/2).
    assert skew["size_gini"] == pytest.approx(0.25)
    assert skew["label_distance"] == pytest.approx((1 / 2 + 1 / 6) / 2)
    entropy = -(math.log(1 / 3) / 3 + 2 * math.log(2 / 3) / 3)
    assert skew["effective_classes"] == pytest.approx((1 + math.exp(entropy)) / 2)


def test_statistics_leave_counts_out_where_there_are_no_classes():
    targets = torch.zeros(4, 1)
    described = statistics(
        Partition.of([[0, 1], [2, 3]]),
        Examples(torch.zeros(4, 1), targets),
        Task("regression", "tabular", (1,), 1),
    )
    assert described == {"clients": 2, "sizes": [2, 2], "skew": {"size_gini": 0.0}}


def test_statistics_beyond_128_classes_are_the_skew_alone():
    described = statistics(Partition.of([[0], [1]]), examples([0, 128]), classification(129))
    assert "counts" not in described
    assert "labels" not in described
    assert described["skew"]["effective_classes"] == 1
