"""Shapley values of a game whose coalitions are worth something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import numpy as np

Player = int
EXACT_UP_TO = 6
"""Players of whom all coalitions are looked at: 64 of them."""
TRUNCATED = 0.001
"""A coalition that is worth this near to all together gains nothing from more players; and a round
that gains no more is shared among nobody."""
PER_PLAYER = 8
"""Permutations for each player, at most."""
CONVERGED = 0.02
"""Mean change of the values over a cycle of permutations, as a share of what is shared out."""


class Game:
    """What coalitions are worth, each looked at once.

    Args:
        worth: Returns the worth of a coalition.

    Attributes:
        looks: How many coalitions were looked at.
    """

    def __init__(self, worth: Callable[[frozenset[Player]], float]) -> None:
        self._worth = worth
        self._known: dict[frozenset[Player], float] = {}

    @property
    def looks(self) -> int:
        """Return how many coalitions were looked at."""
        return len(self._known)

    def worth(self, coalition: frozenset[Player]) -> float:
        """Return what a coalition is worth."""
        if coalition not in self._known:
            self._known[coalition] = self._worth(coalition)
        return self._known[coalition]


def exact_values(game: Game, players: Sequence[Player]) -> dict[Player, float]:
    """Return each player's Shapley value, from all coalitions (Shapley 1953).

    φₖ = Σ over S without k of (v(S ∪ k) − v(S)) / (n · C(n − 1, |S|)).
    """
    count = len(players)
    values = dict.fromkeys(players, 0.0)
    for player in players:
        others = [other for other in players if other != player]
        for size in range(count):
            for chosen in combinations(others, size):
                without = frozenset(chosen)
                gain = game.worth(without | {player}) - game.worth(without)
                values[player] += gain / (count * comb(count - 1, size))
    return values


def sampled_values(
    game: Game, players: Sequence[Player], generator: np.random.Generator
) -> dict[Player, float]:
    """Return estimates of the Shapley values by guided, truncated permutations.

    GTG-Shapley (Liu et al. 2022, "GTG-Shapley: Efficient and accurate participant contribution
    evaluation in federated learning", Algorithm 1): each player comes first equally often; what
    follows in a permutation once a coalition is worth what all are gains nothing; values are means
    of marginal gains, until they stay.
    """
    whole, nobody = game.worth(frozenset(players)), game.worth(frozenset())
    sums = dict.fromkeys(players, 0.0)
    before: dict[Player, float] = {}
    for cycle in range(1, PER_PLAYER + 1):
        for first in players:
            rest = [player for player in players if player != first]
            order = [first, *(rest[place] for place in generator.permutation(len(rest)))]
            reached, coalition = nobody, frozenset[Player]()
            for player in order:
                if abs(whole - reached) < TRUNCATED:
                    break
                coalition = coalition | {player}
                worth = game.worth(coalition)
                sums[player] += worth - reached
                reached = worth
        values = {player: total / (cycle * len(players)) for player, total in sums.items()}
        shared = sum(map(abs, values.values()))
        moved = sum(abs(values[player] - before.get(player, 0.0)) for player in players)
        if cycle > 1 and moved <= CONVERGED * shared:
            return values
        before = values
    return before


def shapley_values(
    worth: Callable[[frozenset[Player]], float],
    players: Sequence[Player],
    generator: np.random.Generator,
) -> tuple[dict[Player, float], int]:
    """Return the values of a game's players, and how many coalitions were looked at.

    Args:
        worth: Returns the worth of a coalition.
        players: Who plays.
        generator: Draws permutations, where players are too many for all coalitions.
    """
    game = Game(worth)
    if abs(game.worth(frozenset(players)) - game.worth(frozenset())) < TRUNCATED:
        return dict.fromkeys(players, 0.0), game.looks
    if len(players) <= EXACT_UP_TO:
        return exact_values(game, players), game.looks
    return sampled_values(game, players, generator), game.looks
