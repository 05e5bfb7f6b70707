"""Flower's own client mods, by name: clipping for its differential-privacy strategies.

They are meant for training messages and would answer any other with an error, so those pass by.
"""

from __future__ import annotations

from flwr.app import Context, Message, MessageType
from flwr.clientapp.mod import adaptiveclipping_mod, fixedclipping_mod
from flwr.clientapp.typing import ClientAppCallable

from fedlab.registry import mods
from fedlab.wire.zero_updates import set_apart


@mods.register("fixed-clipping")
class FixedClipping:
    """Clips updates to the norm that the server sends (Flower's fixedclipping_mod)."""

    def mod(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Run the client and, where it trained, clip its update."""
        if message.metadata.message_type != MessageType.TRAIN:
            return call_next(message, context)
        return fixedclipping_mod(message, context, _never_unmoved(call_next))


@mods.register("adaptive-clipping")
class AdaptiveClipping:
    """Clips updates and tells whether it had to (Flower's adaptiveclipping_mod)."""

    def mod(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Run the client and, where it trained, clip its update."""
        if message.metadata.message_type != MessageType.TRAIN:
            return call_next(message, context)
        return adaptiveclipping_mod(message, context, _never_unmoved(call_next))


def _never_unmoved(call_next: ClientAppCallable) -> ClientAppCallable:
    """Return a client whose update has a length, by which Flower's mods divide."""

    def answer(message: Message, context: Context) -> Message:
        sent = next(iter(message.content.array_records.values()))
        reply = call_next(message, context)
        if reply.has_content():
            set_apart(sent, reply.content)
        return reply

    return answer
