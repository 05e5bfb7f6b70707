"""``fedlab deploy inspect`` shows what would leave a site, and sends nothing."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedlab.cli.deploy import app
from fedlab.scenario import dumps
from tests.data.sites.files import TABLE, site_of_rows, some_rows
from tests.shared import scenario_with


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return site_of_rows(tmp_path, "north", some_rows(12, 0))


def shown(*arguments: Path) -> dict[str, object]:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    content: dict[str, object] = json.loads(result.stdout)
    return content


def test_it_shows_the_introduction_and_the_statistics(tmp_path: Path, site: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(dumps(scenario_with({"data": {"partition": None, **TABLE, "sites": 2}})))
    found = shown(site, scenario)
    assert found.keys() == {"introduction", "statistics", "then"}
    assert str(tmp_path) not in json.dumps(found)


def test_without_a_scenario_it_shows_what_is_permitted(site: Path) -> None:
    assert "may leave" in shown(site)
