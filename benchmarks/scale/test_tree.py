"""What the page on a thousand machines computes agrees with what an engine does."""

import pytest

from benchmarks.scale.tree import JOBS, Costs, Job, Tree, page
from fedlab.engine.blocks import plan

COSTS = Costs(client=1e-4, call=1e-3, byte=1e-9, value=1e-9)


@pytest.mark.parametrize("cohort", [7, 39, 1_000, 10_001])
def test_blocks_are_those_of_the_engine(cohort: int) -> None:
    assert Job("m", 1, 1.0, cohort).blocks == len(plan(range(cohort), lambda client: 1))


def test_a_root_takes_every_client_and_every_sum() -> None:
    job = Job("m", 1000, 1.0, 320)
    assert job.root(COSTS, 20) == pytest.approx(320 * 1e-4 + 20 * (1e-3 + 1000 * 9e-9))


def test_workers_train_whole_blocks_in_turns() -> None:
    assert Job("m", 1, 2.0, 10_000).training() == 16 * 2.0
    assert Job("m", 1, 2.0, 16_000 * 16 + 1).training() == 2 * 16 * 2.0


def test_the_page_has_a_row_for_each_job() -> None:
    about = {"processor": "p", "versions": "v", "date": "d"}
    text = page(COSTS, Tree(1.6, 0.1, 0.0, 0.0), about)
    assert text.count("| ") > len(JOBS)
    assert "a ratio of 16.0 where the arithmetic says" in text
