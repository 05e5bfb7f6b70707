"""Whether an address answers, asked of a server of our own."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fedlab.assets.reach import no_endless_wait, unreachable


class _Answers(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("status", [200, 401, 404])
def test_any_answer_of_the_host_will_do(server: str, status: int) -> None:
    assert unreachable(f"{server}/{status}") is None


def test_what_a_gateway_says_in_the_hosts_place_is_the_reason(server: str) -> None:
    assert "127.0.0.1 cannot be reached: 503 " in (unreachable(f"{server}/503") or "")


def test_a_host_that_refuses_is_said_to() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        reason = unreachable(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert reason == "127.0.0.1 cannot be reached: Connection refused"


def test_a_host_that_takes_the_question_and_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begin = time.monotonic()
        reason = unreachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", seconds=0.2)
    assert reason == "127.0.0.1 does not answer"
    assert time.monotonic() - begin < 3


def test_a_name_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words, **keys: let_go.wait() and [])
    assert unreachable("http://example.org/", seconds=0.2) == "example.org does not answer"
    let_go.set()


def test_a_download_that_stalls_ends_and_the_time_limit_of_others_stays() -> None:
    assert socket.getdefaulttimeout() is None
    with no_endless_wait():
        assert 1 < (socket.getdefaulttimeout() or 0) < 60
    assert socket.getdefaulttimeout() is None
