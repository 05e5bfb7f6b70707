"""Figures of each site: the same as of its examples alone, however the test set was cut."""

import numpy as np
import pytest
import torch

from fedlab.data.dataset import Examples, Task
from fedlab.metrics.evaluation import Evaluation
from fedlab.metrics.sites import MOST_SITES, measured_sites, reported_groups, site_rows
from fedlab.models.network import build_network
from fedlab.training.criterion import build_criterion
from fedlab.training.evaluation import evaluate
from tests.shared import scenario_with

TASK = Task("classification", "tabular", (3,), 4)


def examples(groups) -> Examples:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(groups), 3, generator=generator)
    targets = torch.randint(0, 4, (len(groups),), generator=generator)
    return Examples(inputs, targets, np.asarray(groups), ("north", "south", "west"))


def measured(test: Examples, sites=None, **how) -> Evaluation:
    settings = scenario_with({"model": {"name": "mlp"}}).model
    network = build_network(settings, TASK, 3)
    criterion = build_criterion("cross-entropy", TASK)
    return evaluate(network, test, TASK, lambda x: x, criterion, sites=sites, **how)


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_a_site_counts_as_if_its_examples_were_the_test_set(batch):
    groups = np.random.default_rng(2).integers(0, 3, 200)
    test = examples(groups)
    found = measured_sites(measured(test, groups, batch_size=batch), test)["sites"]
    assert list(found) == ["north", "south", "west"]
    for number, (name, row) in enumerate(found.items()):
        alone = measured(test.take(np.flatnonzero(groups == number)))
        assert row.pop("examples") == (groups == number).sum(), name
        assert row == pytest.approx(alone.compute(), rel=1e-6)


def test_the_whole_is_what_it_is_without_sites_bit_for_bit():
    groups = np.random.default_rng(2).integers(0, 3, 200)
    test = examples(groups)
    with_sites, without = measured(test, groups), measured(test)
    assert with_sites.compute() == without.compute()
    assert without.compute_sites() == {}


def test_parts_of_several_workers_are_added_up_by_site():
    groups = np.random.default_rng(2).integers(0, 3, 200)
    test = examples(groups)
    whole = measured(test, groups)
    joined = Evaluation(TASK)
    for rows in (np.arange(90), np.arange(90, 200)):
        part = test.take(rows)
        joined.merge(measured(part, part.groups).state())
    for number, row in whole.compute_sites().items():
        assert joined.compute_sites()[number] == pytest.approx(row)


@pytest.mark.parametrize(("groups", "are"), [(1, False), (2, True), (100, True), (101, False)])
def test_figures_are_of_two_to_a_hundred_sites(groups, are):
    numbers = np.arange(3 * groups) % groups
    test = Examples(torch.zeros(len(numbers), 3), torch.zeros(len(numbers)), numbers)
    assert (reported_groups(test) is not None) == are
    assert MOST_SITES == 100


def test_examples_without_groups_have_no_sites():
    test = Examples(torch.zeros(4, 3), torch.zeros(4))
    assert reported_groups(test) is None
    assert measured_sites(Evaluation(TASK), test) == {}


def test_a_metric_that_a_site_lacks_is_a_dash():
    headers, rows = site_rows({"a": {"examples": 3, "loss": 0.5}, "b": {"examples": 1}})
    assert headers == ["site", "test examples", "loss"]
    assert rows == [["a", "3", "0.5"], ["b", "1", "–"]]
