from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from fedlab.deploy.init import OwnCertificate, Plan, make_folders
from fedlab.deploy.keys import read_private, registered_keys
from fedlab.deploy.settings import load_server, load_site
from fedlab.errors import FedlabError

SECRETS = {"ca.key", "server.key", "site.key"}


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init") / "trial"
    make_folders(folder, Plan(("north", "south"), port=8123, with_keys=True))
    return folder


def test_the_files_of_all_parties_can_be_read(trial: Path) -> None:
    server = load_server(trial / "server" / "server.toml")
    assert (server.host, server.port) == ("127.0.0.1", 8123)
    for number, name in enumerate(("north", "south")):
        site = load_site(trial / f"site-{name}" / f"site-{name}.toml")
        assert (site.name, site.server.number, site.server.sites) == (name, number, 2)
        assert site.server.address == "127.0.0.1:8123"
        assert Path(site.server.ca).read_bytes() == Path(server.ca).read_bytes()


def test_with_keys_the_server_knows_the_keys_of_the_sites(trial: Path) -> None:
    for name, key in registered_keys(trial / "server" / "sites").items():
        assert read_private(trial / f"site-{name}" / "site.key").public_key() == key


def test_secrets_are_readable_by_their_owner_alone_and_no_site_has_the_servers(
    trial: Path,
) -> None:
    found = [path for path in trial.rglob("*.key") if path.name in SECRETS]
    assert len(found) == 4
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)
    private = [p for p in trial.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()]
    assert sorted(private) == sorted(found)
    assert {path.name for path in (trial / "site-north").glob("*.key")} == {"site.key"}


def test_without_with_keys_no_site_has_a_key_yet(tmp_path: Path) -> None:
    make_folders(tmp_path / "fed", Plan(("north",), ("fed.example", "10.0.0.1")))
    assert not list((tmp_path / "fed" / "site-north").glob("*.key*"))
    assert not list((tmp_path / "fed" / "server" / "sites").iterdir())
    server = load_server(tmp_path / "fed" / "server" / "server.toml")
    assert server.host == "0.0.0.0"
    site = load_site(tmp_path / "fed" / "site-north" / "site-north.toml")
    assert site.server.address == "fed.example:8000"


def test_a_certificate_of_ones_own_is_taken(trial: Path, tmp_path: Path) -> None:
    server = trial / "server"
    own = OwnCertificate(server / "server.pem", server / "server.key", server / "ca.pem")
    make_folders(tmp_path / "fed", Plan(("north",), own=own))
    made = tmp_path / "fed" / "server"
    assert (made / "server.key").read_bytes() == (server / "server.key").read_bytes()
    assert not (made / "ca.key").exists()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "fed").mkdir()
    (tmp_path / "fed" / "mine").touch()
    with pytest.raises(FedlabError, match="there already"):
        make_folders(tmp_path / "fed", Plan(("north",)))
    assert [path.name for path in tmp_path.rglob("*")] == ["fed", "mine"]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (Plan(()), "name the sites"),
        (Plan(("a/b",)), "'a/b' is no name of a site"),
        (Plan(("a", "A")), "two sites have one name"),
        (Plan(("a",), ("a b",)), "'a b' is neither an address"),
    ],
)
def test_a_plan_that_is_not_possible_leaves_nothing(
    plan: Plan, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(FedlabError, match=reason):
        make_folders(tmp_path / "fed", plan)
    assert not list(tmp_path.iterdir())


def test_the_compose_file_gives_each_party_its_own_folder_alone(trial: Path) -> None:
    services = yaml.safe_load((trial / "container" / "compose.yaml").read_text())["services"]
    assert {name: service["volumes"] for name, service in services.items()} == {
        name: [f"../{name}:/party"] for name in ("server", "site-north", "site-south")
    }
