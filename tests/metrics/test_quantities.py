from __future__ import annotations

import pytest

from fedlab.metrics.names import headline, metric_name
from fedlab.metrics.quantities import bytes_text, count_text, rounds_text, seconds_text


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (18_800_000, "18.8 MB"), (2e12, "2,000 GB")],
)
def test_bytes_have_the_unit_that_suits(count: float, text: str) -> None:
    assert plain(bytes_text(count)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (1e-6, "< 1 ms"),
        (0.0321, "32.1 ms"),
        (93.2, "93.2 s"),
        (150, "2 min 30 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_seconds_have_the_unit_that_suits(seconds: float, text: str) -> None:
    assert plain(seconds_text(seconds)) == text


def test_counts_and_rounds() -> None:
    assert count_text(650) == "650"
    assert plain(count_text(3_383_000)) == "3.38 M"
    assert plain(rounds_text([0, 3, 10])) == "rounds 0–10"
    assert plain(rounds_text([4])) == "round 4"
    assert rounds_text([]) == "no rounds"


def test_metrics_know_which_way_is_better() -> None:
    accuracy, loss = metric_name("accuracy"), metric_name("loss")
    assert accuracy.better(0.9, 0.8)
    assert loss.better(0.8, 0.9)
    assert accuracy.better(0.1, float("nan"))
    assert not loss.better(float("nan"), 0.1)


def test_a_run_is_judged_by_the_first_metric_that_it_has() -> None:
    for names, expected in (
        (["loss", "accuracy"], "accuracy"),
        (["loss", "rmse", "mae"], "rmse"),
        (["loss"], "loss"),
        (["reward"], "reward"),
    ):
        found = headline(names)
        assert found is not None
        assert found.name == expected
    assert headline([]) is None


def test_values_that_are_no_numbers_are_written_in_words() -> None:
    assert metric_name("loss").text(float("nan")) == "not a number"
    assert metric_name("perplexity").text(float("inf")) == "∞"
