"""Whether an address on the network answers, within seconds.

The libraries that fetch weights and data wait for minutes where a firewall drops what is sent:
huggingface_hub and pip try again and again, and torch.hub has no time limit at all. One short
question before they begin finds out.
"""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

SECONDS = 4.0
"""That an address has for an answer; a name server's time limit alone may be longer."""
STALLED = 15.0
"""Seconds in which a download has to go on; urllib and torch.hub wait without end."""
_NO_SERVICE = {407, 502, 503, 504}
"""The statuses with which proxies and gateways answer in an address's place."""


def unreachable(address: str, seconds: float = SECONDS) -> str | None:
    """Return why an address cannot be reached, or None if something answers there.

    Proxies of the environment are used. Any answer of the host will do, its "not found" included.

    Args:
        address: An http or https address.
        seconds: The most that is waited for.
    """
    host = urlsplit(address).hostname or address
    reasons: list[str | None] = []
    asked = threading.Thread(
        target=lambda: reasons.append(_reason(address, host, seconds)), daemon=True
    )
    asked.start()
    asked.join(seconds)
    return reasons[0] if reasons else f"{host} does not answer"


def _reason(address: str, host: str, seconds: float) -> str | None:
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=seconds):
            return None
    except urllib.error.HTTPError as answer:
        if answer.code not in _NO_SERVICE:
            return None
        return f"{host} cannot be reached: {answer.code} {answer.reason}"
    except TimeoutError:
        return f"{host} does not answer"
    except (OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLError):
            return None  # it answers, and libraries may know other certificates than Python does
        if isinstance(cause, TimeoutError):
            return f"{host} does not answer"
        if type(cause).__name__ == "gaierror":
            return f"{host} is not found"
        return f"{host} cannot be reached: {getattr(cause, 'strerror', None) or cause}"


@contextmanager
def no_endless_wait() -> Iterator[None]:
    """Let sockets that are opened within the block give up on a download that stalls."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
