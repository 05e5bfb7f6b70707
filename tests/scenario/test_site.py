"""A site's file is read with the sentences of a scenario."""

from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.scenario.site import load_site

WHOLE = """
name = "north"
[data]
name = "table"
path = "patients.csv"
target = "ill"
[permissions]
statistics = true
modules = ["lung_models"]
[server]
address = "fed.example.org:8443"
[resources]
device = "cuda"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text)
    return path


def test_relative_paths_begin_beside_the_file(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, WHOLE))
    assert site.name == "north"
    assert site.data.path == str(tmp_path / "patients.csv")
    assert site.data.target == "ill"


def test_nothing_may_leave_unless_the_file_says_so(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, WHOLE.partition("[permissions]")[0]))
    assert not any(site.permissions.model_dump().values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("[resources]", "[resource]"), "resource: there is no such key. Did you mean 'resources'"),
        (('"table"', '"tabel"'), "data.name: unknown data set 'tabel'. Did you mean 'table'?"),
        (("statistics = true", "statistics = 1"), "permissions.statistics: true or false belongs"),
        (("statistics", "statistic"), "permissions.statistic: there is no such key. Did you mean"),
        (('"north"', '"no/rth"'), "name: "),
        (('name = "north"', ""), "name is missing"),
        (('target = "ill"', ""), "data.target is missing"),
        (('target = "ill"', 'target = "ill"\nclients_by = "ward"'), "a site is one client"),
        (('"table"', '"sites"'), "data.name: "),
    ],
)
def test_what_is_wrong_is_said_with_its_key(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    path = written(tmp_path, WHOLE.replace(*change, 1))
    with pytest.raises(FedlabError) as error:
        load_site(path)
    assert str(error.value).startswith(f"{path}: ")
    assert sentence in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match="there is no site file"):
        load_site(tmp_path / "nowhere.toml")
