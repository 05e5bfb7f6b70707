"""Which clients never train, and what they learn from."""

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition
from fedlab.data.unseen import ChosenClients, split_unseen, support_of
from fedlab.errors import FedlabError

TEN = Partition.of([np.arange(3 * k, 3 * k + 3) for k in range(10)], [f"c{k}" for k in range(10)])


@pytest.mark.parametrize(("chosen", "count"), [(3, 3), (0.2, 2), (0.01, 1), (9, 9)])
def test_clients_are_split_into_those_that_train_and_those_that_never_do(chosen, count):
    trained, unseen = split_unseen(TEN, chosen, seed=1)
    assert len(unseen) == count
    assert len(trained) == 10 - count
    assert sorted(trained.names + unseen.names) == sorted(TEN.names)
    for part in (trained, unseen):
        for client, name in enumerate(part.names):
            assert part.rows(client).tolist() == TEN.rows(int(name[1:])).tolist()


def test_named_clients_are_the_unseen_ones():
    trained, unseen = split_unseen(TEN, (7, "c2", 7), seed=1)
    assert unseen.names == ("c2", "c7")
    assert "c2" not in trained.names


def test_a_pattern_names_every_client_that_is_called_so():
    parts = Partition.of([[0], [1], [2]], ["Greek 0", "Greek 1", "Latin 0"])
    assert split_unseen(parts, ("Greek *",), seed=1)[1].names == ("Greek 0", "Greek 1")


def test_where_all_train_the_partition_stays_as_it_is():
    assert split_unseen(TEN, 0, seed=1) == (TEN, None)
    assert split_unseen(TEN, (), seed=1) == (TEN, None)


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (10, "ask for 9 at most"),
        ((10,), "numbered from 0 to 9"),
        (("x",), "no client is called 'x' (the first is 'c0')"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_in_a_sentence(chosen, sentence):
    with pytest.raises(FedlabError) as raised:
        split_unseen(TEN, chosen, seed=1)
    assert sentence in str(raised.value)


def test_a_population_of_any_size_is_numbered_anew_without_a_list_of_it():
    few = np.array([0, 3, 4, 9])
    others, chosen = ChosenClients(TEN, few, True), ChosenClients(TEN, few, False)
    assert [others.number(client) for client in range(len(others))] == [1, 2, 5, 6, 7, 8]
    assert [chosen.number(client) for client in range(len(chosen))] == few.tolist()
    assert others.total == 18
    assert others.rows(2).tolist() == TEN.rows(5).tolist()


def test_a_new_client_has_so_many_shots_of_each_class_and_always_the_same():
    targets = torch.tensor([0, 0, 0, 1, 1, 2])
    examples = Examples(torch.arange(6).unsqueeze(1).float(), targets)
    task = Task("classification", "tabular", (1,), 3)
    found = support_of(examples, task, 2, seed=0, client=5)
    assert torch.bincount(found.targets).tolist() == [2, 2, 1]
    again = support_of(examples, task, 2, seed=0, client=5)
    assert torch.equal(found.inputs, again.inputs)
    assert support_of(examples, task, None, seed=0, client=5) is examples


def test_without_classes_shots_count_all_examples():
    examples = Examples(torch.arange(6).unsqueeze(1).float(), torch.rand(6, 1))
    task = Task("regression", "tabular", (1,), 1)
    assert len(support_of(examples, task, 4, seed=0, client=5)) == 4
