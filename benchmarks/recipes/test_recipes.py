"""The table of recipes says what its cells hold."""

from benchmarks.recipes.__main__ import page


def test_a_cell_is_the_median_of_its_seeds_with_the_least_and_the_most() -> None:
    cells = {
        f"digits/auto/{seed}": {"accuracy": a, "best": b, "seconds": s, "megabytes": 10}
        for seed, (a, b, s) in enumerate([(0.9, 0.91, 3), (0.95, 0.95, 5), (0.92, 0.96, 4)])
    }
    assert "| digits | auto | 3 | 92.0 (90.0, 95.0) | 4.0 | 4 | 10 |" in page({"cells": cells})
