"""The adversary of the scenario's ``[attack]``: which clients attack, how and when."""

from __future__ import annotations

from dataclasses import dataclass

from fedlab.attacks.attack import Attack


@dataclass(frozen=True)
class Adversary:
    """The malicious clients and their attack.

    Attributes:
        attack: Their attack.
        clients: Their numbers, in order.
    """

    attack: Attack
    clients: tuple[int, ...]

    def is_active(self, server_round: int) -> bool:
        """Return whether the attack is active in a round."""
        settings = self.attack.settings
        return bool(
            server_round >= settings.start
            and (settings.stop is None or server_round <= settings.stop)
        )

    def controls(self, client: int, server_round: int) -> bool:
        """Return whether a client attacks in a round."""
        return client in self.clients and self.is_active(server_round)
