"""Shapley values by their definition, their axioms, and estimates near them."""

from itertools import permutations
from statistics import fmean

import numpy as np
import pytest

from fedlab.results.shapley import Game, exact_values, sampled_values, shapley_values

GAINS = {0: 0.3, 1: 0.2, 2: 0.1, 3: 0.0}


def worth(coalition: frozenset[int]) -> float:
    """Return a game with decreasing returns, and a pair that only helps together."""
    base = 1 - np.prod([1 - GAINS.get(player, 0.05) for player in coalition])
    return float(base + (0.1 if {1, 2} <= coalition else 0.0))


def test_exact_values_are_means_over_all_orders() -> None:
    players = [0, 1, 2, 3]
    gains: dict[int, list[float]] = {player: [] for player in players}
    for order in permutations(players):
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            gains[player].append(worth(before | {player}) - worth(before))
    values = exact_values(Game(worth), players)
    assert values == pytest.approx({player: fmean(found) for player, found in gains.items()})
    assert sum(values.values()) == pytest.approx(worth(frozenset(players)))
    assert values[3] == 0.0


def test_estimates_are_near_and_look_at_fewer_coalitions() -> None:
    players = list(range(12))
    game = Game(worth)
    found = sampled_values(game, players, np.random.default_rng(0))
    exact = exact_values(Game(worth), players)
    assert max(abs(found[p] - exact[p]) for p in players) < 0.02
    assert game.looks < 2**12 / 4
    assert sum(found.values()) == pytest.approx(sum(exact.values()), abs=0.002)


def test_what_gains_nothing_is_not_shared_out() -> None:
    values, looks = shapley_values(lambda coalition: 0.5, [4, 7, 9], np.random.default_rng(0))
    assert values == {4: 0.0, 7: 0.0, 9: 0.0}
    assert looks == 2
