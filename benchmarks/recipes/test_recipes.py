"""The table of recipes says what its cells hold."""

from benchmarks.recipes.__main__ import page


def test_a_cell_is_the_median_of_its_seeds_with_the_least_and_the_most() -> None:
    cells = {
        f"digits/auto/{seed}": {"accuracy": a, "best": b, "seconds": s, "megabytes": 10}
        for seed, (a, b, s) in enumerate([(0.9, 0.91, 3), (0.95, 0.95, 5), (0.92, 0.96, 4)])
    }
    assert "| digits | auto | 3 | 92.0 (90.0, 95.0) | 4.0 | 4 | 10 |" in page({"cells": cells})


def test_a_kind_of_data_has_its_figures_beside_each_other() -> None:
    rows = {
        f"tumours/{seed}": {"metric": "accuracy", "together": t, "alone": 0.8, "pooled": 0.95}
        for seed, t in enumerate([0.9, 0.93, 0.91])
    }
    line = "| accuracy | 3 | 0.910 (0.900, 0.930) | 0.800 (0.800, 0.800) | 0.950 (0.950, 0.950) |"
    assert line in page({"kinds": rows})
