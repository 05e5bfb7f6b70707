from __future__ import annotations

from pathlib import Path

import pytest

from fedlab.deploy.settings import is_loopback, load_server, load_site
from fedlab.errors import FedlabError

SITE = """
name = "north"
[data]
name = "table"
[server]
address = "fed.example:8000"
number = 0
sites = 3
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_paths_begin_in_the_folder_of_the_file(tmp_path: Path) -> None:
    site = load_site(write(tmp_path / "site.toml", SITE + 'ca = "../ca.pem"'))
    assert site.server.ca == str(tmp_path.parent / "ca.pem")
    assert site.server.key == str(tmp_path / "site.key")
    server = load_server(write(tmp_path / "server.toml", '[server]\nkey = "/etc/key"'))
    assert (server.key, server.runs) == ("/etc/key", str(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SITE.replace("number = 0", "number = 3"), "the last is 2"),
        (SITE.replace('name = "north"', ""), "name: the site's name is missing"),
        (SITE + "port = 1", "server.port"),
        (SITE.replace("fed.example:8000", "https://fed.example"), "server.address"),
        (SITE + "[resources]\ncpus = 0", "resources.cpus"),
        (SITE + "[resources]\ndevice = 'cuda\" x=1'", "resources.device"),
    ],
)
def test_what_is_wrong_with_a_sites_file_is_said_by_its_key(
    text: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(FedlabError, match=reason):
        load_site(write(tmp_path / "site.toml", text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[server]\nport = 0", "server.port"), ("[other]", "no key 'other'"), ("server = 1", "table")],
)
def test_what_is_wrong_with_a_servers_file_is_said_by_its_key(
    text: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(FedlabError, match=reason):
        load_server(write(tmp_path / "server.toml", text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match=r"no file .*server\.toml"):
        load_server(tmp_path / "server.toml")


def test_only_addresses_of_this_machine_are_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "")))
