from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fedlab.deploy.keys import make_key, public_path, read_private, read_public, registered_keys
from fedlab.errors import FedlabError


def test_a_private_key_is_readable_by_its_owner_alone_and_is_never_replaced(tmp_path: Path) -> None:
    key = tmp_path / "site.key"
    public = make_key(key, "north")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), public.read_bytes()
    assert make_key(key, "north") == public == public_path(key)
    assert (key.read_bytes(), public.read_bytes()) == before


def test_a_public_key_that_was_lost_is_made_again_of_the_private_one(tmp_path: Path) -> None:
    public = make_key(tmp_path / "site.key", "north")
    before = public.read_bytes()
    public.unlink()
    make_key(tmp_path / "site.key", "north")
    assert public.read_bytes() == before


def test_the_public_key_is_that_of_the_private_one_and_names_the_site(tmp_path: Path) -> None:
    public = make_key(tmp_path / "site.key", "north")
    assert read_public(public) == read_private(tmp_path / "site.key").public_key()
    assert public.read_text().endswith(" north\n")


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "site.key"
    make_key(key, "north")
    key.chmod(0o644)
    with pytest.raises(FedlabError, match="chmod 600"):
        read_private(key)


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site.key").write_text("secret")
    (tmp_path / "site.key").chmod(0o600)
    with pytest.raises(FedlabError, match="no private key"):
        make_key(tmp_path / "site.key", "north")
    assert (tmp_path / "site.key").read_text() == "secret"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="makes a key of another kind")
def test_a_key_on_another_curve_is_refused(tmp_path: Path) -> None:
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "site.key")]
    subprocess.run(make, check=True)
    with pytest.raises(FedlabError, match="another kind"):
        read_private(tmp_path / "site.key")


def test_a_server_knows_each_site_by_the_name_of_its_file(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    sites.mkdir()
    for name in ("south", "north"):
        public = make_key(tmp_path / name, name)
        shutil.copyfile(public, sites / f"{name}.pub")
    assert list(registered_keys(sites)) == ["north", "south"]


def test_two_sites_with_one_key_are_refused(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    sites.mkdir()
    public = make_key(tmp_path / "key", "north")
    for name in ("south", "north"):
        shutil.copyfile(public, sites / f"{name}.pub")
    with pytest.raises(FedlabError, match="the site 'north' has the same key"):
        registered_keys(sites)


def test_a_private_key_among_the_public_ones_is_named_as_one(tmp_path: Path) -> None:
    make_key(tmp_path / "north.pub", "north")
    with pytest.raises(FedlabError, match="private key, which stays at the site"):
        registered_keys(tmp_path)
