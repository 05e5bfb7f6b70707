from itertools import pairwise

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedlab.data.dataset import Examples, Task
from fedlab.data.partition import Partition
from fedlab.errors import FedlabError
from fedlab.registry import partitioners

CLASSES = Task("classification", "tabular", (3,), 10)
NUMBERS = Task("regression", "tabular", (3,), 1)
BY_CLASS = ["dirichlet", "inner-dirichlet", "pathological", "shards", "distribution"]
BY_SIZE = ["iid", "linear", "square", "exponential"]


def labelled(count: int = 2000, groups: int = 0) -> Examples:
    generator = np.random.default_rng(0)
    targets = torch.from_numpy(generator.permutation(np.arange(count) % 10))
    natural = np.arange(count) ** 2 % groups if groups else None
    names = tuple(f"site {number}" for number in range(groups))
    return Examples(torch.from_numpy(generator.random((count, 3))).float(), targets, natural, names)


def numbered(count: int = 2000) -> Examples:
    values = torch.from_numpy(np.random.default_rng(0).random((count, 3))).float()
    return Examples(values, values.sum(1, keepdim=True))


def split(name: str, examples: Examples, task: Task = CLASSES, seed: int = 1, **keys) -> Partition:
    found = partitioners.get(name)
    return found(found.Settings(name=name, **keys)).split(examples, task, seed)


def class_counts(partition: Partition, examples: Examples) -> np.ndarray:
    rows = [examples.targets.numpy()[partition.rows(c)] for c in range(len(partition))]
    return np.stack([np.bincount(row, minlength=10) for row in rows])


def everything(partition: Partition) -> list[int]:
    return sorted(partition.index.tolist())


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_SIZE])
def test_no_example_is_held_twice_and_every_client_holds_some(name):
    keys = {"classes_per_client": 2} if name in {"pathological", "distribution"} else {}
    examples = labelled(60_000) if name == "exponential" else labelled()
    partition = split(name, examples, clients=10, **keys)
    assert len(partition) == 10
    assert partition.sizes.min() >= 1
    assert len(set(partition.index.tolist())) == len(partition.index)
    assert partition.index.min() >= 0
    assert partition.index.max() < len(examples)


@pytest.mark.parametrize(
    "name", ["iid", "linear", "square", "dirichlet", "inner-dirichlet", "distribution"]
)
def test_every_example_is_held(name):
    assert everything(split(name, labelled(), clients=10)) == list(range(2000))


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_SIZE])
def test_the_seed_decides_the_partition(name):
    examples = labelled(60_000) if name == "exponential" else labelled()
    first, again, other = (split(name, examples, seed=s, clients=10) for s in (4, 4, 5))
    assert np.array_equal(first.index, again.index)
    assert np.array_equal(first.offsets, again.offsets)
    assert not np.array_equal(first.index, other.index)


@pytest.mark.parametrize("name", ["dirichlet", "natural", "iid"])
def test_global_random_state_is_neither_used_nor_changed(name):
    keys = {} if name == "natural" else {"clients": 10}
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = split(name, labelled(groups=7), **keys)
    assert np.array_equal(before, np.random.get_state()[1])
    np.random.seed(2)
    assert np.array_equal(first.index, split(name, labelled(groups=7), **keys).index)


def test_iid_gives_equal_parts_with_all_classes():
    examples = labelled()
    partition = split("iid", examples, clients=7)
    assert partition.sizes.max() - partition.sizes.min() <= 1
    assert class_counts(partition, examples).min() > 10


def test_dirichlet_is_more_skewed_for_smaller_alpha():
    examples = labelled()
    held = []
    for alpha in (0.1, 1.0, 100.0):
        partition = split("dirichlet", examples, clients=8, alpha=alpha, min_size=20)
        assert partition.sizes.min() >= 20
        shares = class_counts(partition, examples) / partition.sizes[:, None]
        held.append(shares.max(axis=1).mean())
    assert held[0] > held[1] > held[2]


def test_inner_dirichlet_is_more_skewed_for_smaller_alpha():
    examples = labelled()
    held = []
    for alpha in (0.1, 100.0):
        partition = split("inner-dirichlet", examples, clients=20, alpha=alpha)
        assert set(partition.sizes.tolist()) == {100}
        held.append(class_counts(partition, examples).max(axis=1).mean())
    assert held[0] > 2 * held[1]


def test_inner_dirichlet_spreads_sizes_on_request():
    partition = split("inner-dirichlet", labelled(), clients=20, alpha=5.0, spread=1.0)
    assert partition.sizes.sum() == 2000
    assert partition.sizes.max() > 5 * partition.sizes.min()


@pytest.mark.parametrize("assignment", ["random", "first-deterministic", "deterministic"])
def test_pathological_clients_hold_exactly_so_many_classes(assignment):
    examples = labelled()
    partition = split(
        "pathological", examples, clients=10, classes_per_client=3, assignment=assignment
    )
    assert ((class_counts(partition, examples) > 0).sum(axis=1) == 3).all()


def test_listed_classes_are_held_as_listed_and_shared_equally():
    examples = labelled(4000)
    partition = split("listed-classes", examples, classes=[[0, 7], [7, 1], [1, 3, 7], [3]])
    counts = class_counts(partition, examples)
    assert counts[:, [0, 1, 3, 7]].tolist() == [
        [400, 0, 0, 134],
        [0, 200, 0, 133],
        [0, 200, 200, 133],
        [0, 0, 200, 0],
    ]
    assert counts.sum() == 1600
    assert len(set(partition.index.tolist())) == 1600


def test_listed_classes_may_be_names():
    task = Task("classification", "tabular", (3,), 10, tuple("abcdefghij"))
    by_name, by_number = (
        split("listed-classes", labelled(), task, classes=classes)
        for classes in ([["a", "h"], ["b"]], [[0, 7], [1]])
    )
    assert np.array_equal(by_name.index, by_number.index)


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ([[0, 10]], "client 0: class 10 is not one of 0 to 9"),
        ([[0], ["shirts"]], "client 1: unknown class 'shirts'. Did you mean 'shirt'?"),
        ([[3]] * 300, "300 clients list class 3, which has 200 training examples"),
    ],
)
def test_listed_classes_that_the_data_lacks_are_told(classes, sentence):
    task = Task("classification", "tabular", (3,), 10, ("shirt", *"bcdefghij"))
    with pytest.raises(FedlabError) as error:
        split("listed-classes", labelled(), task, classes=classes)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"classes": []},
        {"classes": [[0], []]},
        {"classes": [[1, 1]]},
        {"classes": [[1], [2]], "clients": 3},
    ],
)
def test_listed_classes_must_be_listed_once_for_every_client(keys):
    with pytest.raises(ValidationError):
        split("listed-classes", labelled(), **keys)


def test_listed_classes_follow_the_seed():
    first, again, other = (
        split("listed-classes", labelled(), seed=seed, classes=[[0], [0]]) for seed in (4, 4, 5)
    )
    assert np.array_equal(first.index, again.index)
    assert not np.array_equal(first.index, other.index)


def test_listed_classes_refuse_a_task_without_classes():
    with pytest.raises(FedlabError, match="splits by class"):
        split("listed-classes", numbered(), NUMBERS, classes=[[0], [1]])


def test_shards_are_equal_and_hold_few_classes():
    examples = labelled()
    partition = split("shards", examples, clients=20, shards_per_client=2)
    assert set(partition.sizes.tolist()) == {100}
    assert (class_counts(partition, examples) > 0).sum(axis=1).max() <= 4


def test_distribution_follows_the_given_weights():
    examples = labelled()
    partition = split(
        "distribution",
        examples,
        clients=10,
        classes_per_client=2,
        shares=((3.0, 1.0),) * 10,
        least_per_class=0,
    )
    counts = class_counts(partition, examples)
    assert ((counts > 0).sum(axis=1) == 2).all()
    assert sorted(counts[counts > 0].tolist()) == [50] * 10 + [150] * 10


def test_distribution_keeps_the_least_number_of_each_class():
    examples = labelled()
    partition = split("distribution", examples, clients=20, sigma=3.0, least_per_class=4)
    counts = class_counts(partition, examples)
    assert counts[counts > 0].min() >= 4


@pytest.mark.parametrize(
    ("name", "growth"), [("linear", lambda k: k), ("square", np.square), ("exponential", np.exp)]
)
def test_sizes_grow_with_the_number_of_the_client(name, growth):
    expected = growth(np.arange(1.0, 7.0))
    sizes = split(name, labelled(), clients=6).sizes
    assert sizes[:-1] == pytest.approx(2000 * (expected / expected.sum())[:-1], abs=1)


def test_natural_clients_are_the_groups_with_their_names():
    examples = labelled(groups=11)
    partition = split("natural", examples)
    groups = np.unique(examples.groups)
    assert partition.names == tuple(f"site {group}" for group in groups)
    for client, group in enumerate(groups):
        assert set(examples.groups[partition.rows(client)]) == {group}
    assert everything(partition) == list(range(2000))


def test_natural_takes_so_many_groups_of_a_least_size():
    counts = np.bincount(labelled(groups=11).groups)
    least = int(np.median(counts[counts > 0]))
    partition = split("natural", labelled(groups=11), clients=2, min_examples=least)
    assert len(partition) == 2
    assert partition.sizes.min() >= least


def test_continuous_sorts_by_the_target():
    examples = numbered()
    partition = split("continuous", examples, NUMBERS, clients=4, strictness=1.0)
    means = [examples.targets[torch.from_numpy(partition.rows(c))].mean() for c in range(4)]
    assert means == sorted(means)
    assert means[3] - means[0] > 1


def test_continuous_without_strictness_is_iid():
    examples = numbered()
    partition = split("continuous", examples, NUMBERS, clients=4, strictness=0.0)
    means = [examples.targets[torch.from_numpy(partition.rows(c))].mean() for c in range(4)]
    assert max(means) - min(means) < 0.15


@pytest.mark.parametrize("by", ["mean", 2])
def test_continuous_sorts_by_inputs(by):
    examples = labelled()
    partition = split("continuous", examples, clients=5, strictness=1.0, by=by)
    values = examples.inputs.mean(1) if by == "mean" else examples.inputs[:, by]
    parts = [values[torch.from_numpy(partition.rows(c))] for c in range(5)]
    assert all(low.max() <= high.min() for low, high in pairwise(parts))


@pytest.mark.parametrize("name", ["iid", "linear", "dirichlet", "pathological", "continuous"])
def test_more_clients_than_examples_are_refused(name):
    with pytest.raises(FedlabError, match=r"data\.partition\.clients: 51 clients .* has 50"):
        split(name, labelled(50), clients=51)


@pytest.mark.parametrize("name", BY_CLASS)
def test_partitioners_by_class_refuse_a_task_without_classes(name):
    with pytest.raises(FedlabError, match=rf"data\.partition\.name: '{name}' .* regression"):
        split(name, numbered(), NUMBERS, clients=10)


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        ("dirichlet", {"min_size": 300}, r"min_size: 10 clients with at least 300 .* need 3000"),
        ("dirichlet", {"alpha": 0.01, "min_size": 190}, r"min_size: with alpha = 0\.01"),
        ("pathological", {"classes_per_client": 11}, "classes_per_client: 11 is more than"),
        ("shards", {"shards_per_client": 201}, "shards_per_client: 10 clients .* need 2010"),
        ("distribution", {"clients": 15}, "clients: .* multiple of the number of classes, 10"),
        ("distribution", {"classes_per_client": 11}, "classes_per_client: 11 is more than"),
        ("distribution", {"least_per_class": 101}, "least_per_class: 2 clients hold each class"),
        ("distribution", {"shares": ((1.0,),)}, "shares: 10 rows of 2 weights"),
        ("distribution", {"shares": ((0.0, 0.0),) * 10}, "shares: weights are at least 0"),
        ("exponential", {"clients": 30}, "clients: with 30 clients the 'exponential' split"),
        ("natural", {}, "name: 'natural' takes the data's own groups"),
        ("continuous", {}, "by: 'target' needs numbers for targets"),
        ("continuous", {"by": 3}, "by: there is no feature 3"),
    ],
)
def test_an_impossible_split_is_told_in_one_sentence(name, keys, sentence):
    with pytest.raises(FedlabError, match=r"data\.partition\." + sentence) as raised:
        split(name, labelled(), **{"clients": 10, **keys})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"clients": 12}, r"clients: 12 is more than the 6 groups"),
        ({"min_examples": 5000}, r"min_examples: no group has 5000"),
    ],
)
def test_natural_refuses_what_the_groups_cannot_give(keys, sentence):
    with pytest.raises(FedlabError, match=r"data\.partition\." + sentence):
        split("natural", labelled(groups=11), **keys)


def test_pathological_refuses_more_holders_than_examples():
    with pytest.raises(FedlabError, match=r"data\.partition\.clients: 30 clients with 5 classes"):
        split("pathological", labelled(40), clients=30, classes_per_client=5)


def test_a_property_without_spread_is_refused():
    examples = Examples(torch.ones(20, 3), torch.arange(20) % 10)
    with pytest.raises(FedlabError, match=r"data\.partition\.by: 'mean' is the same number"):
        split("continuous", examples, clients=2, by="mean")


@pytest.mark.parametrize("name", [*BY_CLASS, *BY_SIZE, "continuous"])
def test_the_number_of_clients_must_be_given_and_positive(name):
    settings = partitioners.get(name).Settings
    with pytest.raises(ValidationError):
        settings(name=name)
    with pytest.raises(ValidationError):
        settings(name=name, clients=0)


def test_classes_without_examples_do_not_confuse_the_split():
    examples = Examples(torch.zeros(300, 3), torch.tensor([2, 5, 9]).repeat(100))
    partition = split("inner-dirichlet", examples, clients=5, alpha=1.0)
    assert everything(partition) == list(range(300))
