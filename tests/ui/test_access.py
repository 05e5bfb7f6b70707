from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse

from fedlab.ui.access import Access, is_loopback
from fedlab.ui.application import application
from fedlab.ui.view import View
from tests.ui.conftest import PORT, Browser


@pytest.fixture
def access(runs) -> Access:
    return Access(application(View(runs)), PORT)


@pytest.fixture
def stranger(access) -> Browser:
    return Browser(access, f"http://127.0.0.1:{PORT}")


@pytest.mark.parametrize("path", ["/", "/main.js", "/api/runs", "/file?run=digits&name=task.json"])
def test_nothing_is_answered_without_the_token(stranger, path) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert "digits" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "ä", "\x00"])
def test_a_wrong_token_gives_no_cookie(stranger, token) -> None:
    answer = stranger.get("/", params={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_the_token_is_exchanged_for_a_cookie_that_no_script_reads(access, stranger) -> None:
    answer = stranger.get("/", params={"token": access.token})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert access.token not in cookie
    assert 'url=/"' in answer.text
    assert stranger.get("/api/runs").json()["runs"]


def test_two_servers_have_tokens_and_cookies_of_their_own(runs) -> None:
    first, second = (Access(application(View(runs)), port) for port in (1, 2))
    client = Browser(first)
    cookie = client.get("/", params={"token": first.token}).headers["set-cookie"].split(";")[0]
    other = Browser(second)
    assert other.get("/", params={"token": first.token}).status_code == 401
    assert other.get("/api/runs", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""]
)
def test_another_hosts_name_is_refused_with_the_cookie_too(access, stranger, host) -> None:
    stranger.get("/", params={"token": access.token})
    assert stranger.get("/api/runs", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "[::1]:8765", "[::1]", "LOCALHOST"])
def test_this_machines_own_names_are_answered_at_any_port(access, stranger, host) -> None:
    stranger.get("/", params={"token": access.token})
    cookie = "; ".join(f"{name}={value}" for name, value in stranger.cookies.items())
    headers = {"Host": host, "Cookie": cookie}
    assert stranger.get("/api/runs", headers=headers).status_code == 200


def test_a_server_for_the_network_answers_under_any_name(runs) -> None:
    access = Access(application(View(runs)), PORT, is_local=False)
    client = Browser(access, "http://server.example")
    client.get("/", params={"token": access.token})
    assert client.get("/api/runs").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"])
def test_nothing_can_be_changed(access, stranger, method) -> None:
    stranger.get("/", params={"token": access.token})
    for path in ("/", "/api/runs", "/file"):
        assert stranger.request(method, path).status_code == 405


def test_no_other_method_reaches_an_application_that_would_take_it() -> None:
    access = Access(PlainTextResponse("taken"), PORT)
    browser = Browser(access)
    browser.get("/", params={"token": access.token})
    assert browser.get("/any").text == "taken"
    assert browser.request("POST", "/any").status_code == 405


def test_every_answer_forbids_scripts_of_others(access, stranger) -> None:
    answers = [stranger.get("/")]
    stranger.get("/", params={"token": access.token})
    answers += [stranger.get(path) for path in ("/", "/style.css", "/api/runs", "/none")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_what_is_a_loopback_address() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "10.0.0.1", "::", "localhost.example", ""]))
