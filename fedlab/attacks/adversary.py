"""Who attacks, how and when: the scenario's ``[attack]``, for workers and for the server."""

from __future__ import annotations

from dataclasses import dataclass

from fedlab.attacks.attack import Attack


@dataclass(frozen=True)
class Adversary:
    """The malicious clients and what they do.

    Attributes:
        attack: What they do.
        clients: Who they are, in order.
    """

    attack: Attack
    clients: tuple[int, ...]

    def is_active(self, server_round: int) -> bool:
        """Return whether the attack is on in a round."""
        settings = self.attack.settings
        return bool(
            server_round >= settings.start
            and (settings.stop is None or server_round <= settings.stop)
        )

    def controls(self, client: int, server_round: int) -> bool:
        """Return whether a client attacks in a round."""
        return client in self.clients and self.is_active(server_round)
