"""Sums of clients give what scikit-learn finds on the pooled rows, and no more leaves a client."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fedlab.data.table_encoding import Fitted, TableColumn, TableEncoding
from fedlab.data.tables.statistics import Sums, fit, squares_about

NUMBERS = (TableColumn("a", "number"), TableColumn("b", "number"))
MIXED = (*NUMBERS, TableColumn("c", "category", ("x", "y", "z")))


def made_up(rows: int, seed: int = 0) -> np.ndarray:
    """Return (rows, 3): two numbers on different scales, one category; a tenth is missing."""
    draw = np.random.default_rng(seed)
    raw = np.stack(
        [draw.normal(1e5, 3, rows), draw.exponential(2, rows), draw.integers(0, 3, rows)], axis=1
    )
    raw[draw.random(raw.shape) < 0.1] = np.nan
    return raw


def scikit_learn(raw: np.ndarray, strategy: str) -> np.ndarray:
    """Return what scikit-learn makes of pooled rows."""
    numbers = make_pipeline(StandardScaler(), SimpleImputer(strategy=strategy))
    one_hot = OneHotEncoder(categories=[[0.0, 1.0, 2.0]], sparse_output=False)
    category = make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot)
    found = ColumnTransformer([("n", numbers, [0, 1]), ("c", category, [2])]).fit_transform(raw)
    return np.asarray(found)


@pytest.mark.parametrize(
    ("missing", "strategy"), [("mean", "mean"), ("most-frequent", "most_frequent")]
)
def test_statistics_over_clients_encode_as_scikit_learn_does_on_pooled_rows(missing, strategy):
    raw = made_up(300)
    clients = np.split(raw, [5, 40, 180])
    encoding = TableEncoding(MIXED, fit(clients, MIXED, missing), "y", missing)
    np.testing.assert_allclose(encoding.encode(raw), scikit_learn(raw, strategy), atol=2e-5)


@given(cuts=st.lists(st.integers(1, 59), max_size=5, unique=True), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_statistics_do_not_depend_on_who_holds_which_row(cuts, seed):
    raw = made_up(60, seed)
    together = fit([raw], MIXED, "most-frequent")
    split = fit(np.split(raw, sorted(cuts)), MIXED, "most-frequent")
    for name in ("fill", "offset", "scale"):
        np.testing.assert_allclose(getattr(split, name), getattr(together, name), rtol=1e-12)


def test_what_a_client_sends_has_the_size_of_the_columns_not_of_its_rows():
    few, many = (Sums.of(made_up(rows), [False, False, True]) for rows in (10, 10_000))
    assert few.count.shape == many.count.shape == few.total.shape == many.total.shape == (3,)
    assert squares_about(made_up(10_000), many.mean).shape == (3,)
    assert [len(found) for found in many.occurrences] == [0, 0, 3]


def test_a_constant_column_is_shifted_and_not_divided():
    fitted = fit([np.full((7, 2), 0.1), np.full((5, 2), 0.1)], NUMBERS, "mean")
    assert fitted.scale == (1.0, 1.0)
    assert fitted.offset == pytest.approx((0.1, 0.1))


def test_a_client_without_any_value_in_a_column_takes_what_all_say():
    raw = np.array([[1.0, np.nan], [3.0, np.nan]])
    all_say = Fitted((9.0, 8.0), (9.0, 8.0), (2.0, 4.0))
    assert fit([raw], NUMBERS, "mean", all_say) == Fitted((2.0, 8.0), (2.0, 8.0), (1.0, 4.0))


def test_rare_categories_together_are_not_the_most_frequent_one():
    column = (TableColumn("c", "category", ("x", "y")),)
    fitted = fit([np.array([[-1.0], [-1.0], [-1.0], [1.0]])], column, "mean")
    assert fitted.fill == (1.0,)


def test_missing_and_unseen_values_have_features_of_their_own():
    columns = (TableColumn("n", "number", (), True), TableColumn("c", "category", ("x", "y"), True))
    encoding = TableEncoding(columns, Fitted((4.0, 0.0), (4.0, 0.0), (2.0, 1.0)), "target")
    raw = np.array([[8.0, 1.0], [np.nan, np.nan], [4.0, -1.0]])
    assert encoding.encode(raw).tolist() == [
        [2.0, 0.0, 0.0, 1.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]
    assert encoding.features == ("n", "n is missing", "c = x", "c = y", "c is missing")


def test_rows_are_encoded_by_the_statistics_of_their_own_client():
    own = tuple(Fitted((mean,), (mean,), (1.0,)) for mean in (10.0, 20.0))
    encoding = TableEncoding(
        NUMBERS[:1], Fitted((15.0,), (15.0,), (5.0,)), "y", "mean", (), "site", ("a", "b"), own
    )
    raw = np.array([[20.0], [20.0], [20.0], [np.nan]])
    found = encoding.encode(raw, np.array([0, 1, -1, 1]))
    assert found.ravel().tolist() == [10.0, 0.0, 1.0, 0.0]
