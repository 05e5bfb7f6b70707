from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlab.assets.catalogue import CATALOGUE
from fedlab.cli.assets import app
from fedlab.errors import FedlabError

runner = CliRunner()


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FEDLAB_OFFLINE", "1")


def test_list_shows_every_asset_and_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "usps"
    folder.mkdir(parents=True)
    for name in ("usps.bz2", "usps.t.bz2"):
        (folder / name).touch()
    result = runner.invoke(app, ["list", "--json"])
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert set(rows) == set(CATALOGUE)
    assert rows["usps"]["status"] == "there"
    assert rows["usps"]["where"] == str(folder)
    assert rows["cifar10"]["status"] == "missing"
    assert rows["digits"]["status"] == "there"


def test_the_table_names_every_asset() -> None:
    printed = runner.invoke(app, ["list"]).stdout
    assert all(name in printed for name in CATALOGUE)


def test_get_leaves_alone_what_is_there() -> None:
    result = runner.invoke(app, ["get", "digits"])
    assert result.exit_code == 0
    assert "digits: " in result.stdout


def test_get_checks_every_name_before_it_fetches() -> None:
    result = runner.invoke(app, ["get", "shakespeare", "fasion-mnist"])
    assert isinstance(result.exception, FedlabError)
    assert "Did you mean 'fashion-mnist'?" in str(result.exception)


def test_get_without_a_name_says_what_to_give() -> None:
    result = runner.invoke(app, ["get"])
    assert result.exit_code == 2
    assert "--all-packaged" in result.output
