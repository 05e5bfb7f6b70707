"""Who may ask: a browser of this machine that was given the token.

Any program and any page in a browser can send requests to a port of this machine. So the address
that is printed has a token, which the browser exchanges for a cookie that no script can read and no
other site can make it send. Requests under another host's name are refused (DNS rebinding), and
nothing but reading is possible.
"""

from __future__ import annotations

import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, and no script or style that stands in the page itself."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_REFUSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>fedlab ui</title>
<p>This page needs the address that <code>fedlab ui</code> printed, with its token.</p></html>"""
# A redirect would follow on a link from elsewhere, to which a browser gives no strict cookie.
_WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><title>fedlab ui</title>
<meta http-equiv="refresh" content="0; url=/"><p><a href="/">To the runs</a></p></html>"""


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this machine's own, which no other can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Lets requests through to an application that come with the cookie.

    Args:
        application: The application.
        port: The port, which tells the cookies of two servers apart.
        is_local: Whether only this machine can reach the port, and only by its own names.
    """

    def __init__(self, application: ASGIApp, port: int, is_local: bool = True) -> None:
        self.token = secrets.token_urlsafe(32)
        self._secret = secrets.token_urlsafe(32)
        self._cookie = f"fedlab-ui-{port}"
        self._application = application
        self._is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", PAGE_POLICY)
            await send(message)

        answer = self._refusal(scope) or self._application
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further, or None."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if self._is_local and not is_loopback(name):
            return PlainTextResponse("this server answers under localhost alone\n", 403)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("nothing can be changed here\n", 405, {"Allow": "GET, HEAD"})
        if scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get(TOKEN)
            if given is not None:
                return self._welcome() if _same(given[0], self.token) else _refused()
        return None if _same(self._cookie_of(headers), self._secret) else _refused()

    def _welcome(self) -> Response:
        answer = HTMLResponse(_WELCOME)
        answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict", path="/")
        return answer

    def _cookie_of(self, headers: Headers) -> str:
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        found = jar.get(self._cookie)
        return found.value if found else ""


def _same(first: str, second: str) -> bool:
    return secrets.compare_digest(first.encode(errors="replace"), second.encode())


def _refused() -> Response:
    return HTMLResponse(_REFUSED, 401)
