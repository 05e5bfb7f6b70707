import pytest

from fedlab.engine.blocks import plan


def test_the_largest_clients_come_first_and_ties_go_by_number() -> None:
    sizes = {3: 10, 5: 30, 8: 10, 9: 20}
    assert plan([9, 8, 3, 5], sizes.__getitem__) == [[3], [0], [2], [1]]


def test_every_client_stands_in_exactly_one_block() -> None:
    blocks = plan(range(95), lambda client: client % 7)
    assert sorted(position for block in blocks for position in block) == list(range(95))
    assert {len(block) for block in blocks[:-1]} == {4}


@pytest.mark.parametrize(
    ("cohort", "length", "blocks"), [(19, 1, 19), (40, 2, 20), (1_000, 16, 63), (100_000, 16, 6250)]
)
def test_a_large_cohort_makes_more_blocks_not_longer_ones(
    cohort: int, length: int, blocks: int
) -> None:
    made = plan(range(cohort), lambda client: 1)
    assert (len(made[0]), len(made)) == (length, blocks)
