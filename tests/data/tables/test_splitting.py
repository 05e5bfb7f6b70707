"""The test part keeps each client's and each class's share."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlab.data.tables.splitting import stratified


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=120),
    fraction=st.floats(0.05, 0.6),
)
@settings(max_examples=60, deadline=None)
def test_every_class_of_every_client_gives_its_share_up_to_one_row(rows, fraction):
    groups, classes = np.array(rows, dtype=np.int64).T
    test = stratified(groups, classes, fraction, 3)
    assert (np.diff(test) > 0).all()
    for group in set(groups.tolist()):
        own = groups == group
        taken = (groups[test] == group).sum()
        assert taken < own.sum()  # something is left to train on
        for kind in set(classes[own].tolist()):
            share = ((groups[test] == group) & (classes[test] == kind)).sum()
            count = (own & (classes == kind)).sum()
            assert abs(share - count * fraction) < 1 + 1e-9 or share in (0, 1)


def test_a_class_of_one_row_is_trained_on():
    classes = np.array([0] * 9 + [1])
    for seed in range(20):
        assert 9 not in stratified(np.zeros(10, dtype=np.int64), classes, 0.5, seed)


def test_the_seed_decides_which_rows():
    groups = np.repeat(np.arange(3), 40)
    first, again, other = (stratified(groups, None, 0.2, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 24


def test_of_a_class_that_no_group_has_twice_a_row_is_left_to_learn_from():
    groups = np.array([0, 0, 0, 1, 1, 1])
    classes = np.array([0, 0, 1, 0, 0, 1])
    for seed in range(30):
        test = stratified(groups, classes, 0.4, seed)
        train = np.setdiff1d(np.arange(6), test)
        assert {*classes[test]} <= {*classes[train]}
