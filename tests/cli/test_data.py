"""``fedlab data partition`` draws who holds what, and gives the numbers."""

from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from fedlab.cli.data import app
from fedlab.errors import FedlabError
from tests.shared import raw_with

PATHOLOGICAL = {
    "rounds": 1,
    "data": {"partition": {"name": "pathological", "clients": 12, "classes_per_client": 2}},
}


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw_with(PATHOLOGICAL)))
    return tmp_path / "mine.toml"


def test_the_picture_is_drawn_and_the_skew_given_in_numbers(scenario):
    result = CliRunner().invoke(app, ["partition", str(scenario)], catch_exceptions=False)
    assert result.exit_code == 0
    assert (scenario.parent / "partition.png").read_bytes().startswith(b"\x89PNG")
    lines = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in _rows(result)}
    assert lines["clients"] == "12"
    assert lines["examples on clients"] == "1,437"
    assert lines["examples in the server's test set"] == "360"
    assert 1 < float(lines["mean number of classes that a client effectively holds"]) <= 2


def test_overrides_and_output_are_heard(scenario):
    arguments = ["partition", str(scenario), "--set", "data.partition.clients=3"]
    arguments += ["--output", "x/y.png"]
    (scenario.parent / "x").mkdir()
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "picture: x/y.png" in result.output
    clients = next(line for line in _rows(result) if "clients " in line)
    assert clients.split("│")[2].strip() == "3"


def test_an_unwritable_picture_is_a_sentence_and_leaves_nothing(scenario):
    result = CliRunner().invoke(app, ["partition", str(scenario), "--output", "none/y.png"])
    assert isinstance(result.exception, FedlabError)
    assert "none/y.png cannot be written" in str(result.exception)
    assert not (scenario.parent / "none").exists()


def _rows(result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("│")]


def test_public_examples_are_counted_apart(scenario):
    arguments = ["partition", str(scenario), "--set", "data.public.examples=100"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    lines = {line.split("│")[1].strip(): line.split("│")[2].strip() for line in _rows(result)}
    assert lines["public examples"] == "100"
    assert lines["examples on clients"] == "1,337"


def test_what_was_left_out_of_a_folder_is_said_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        Path("own", name).parent.mkdir(parents=True, exist_ok=True)
        Path("own", f"{name}.txt").write_text("some words")
    Path("own/a/4.doc").write_text("x")
    data = {"name": "text", "path": "own", "test_fraction": 0.4, "length": 10}
    data["partition"] = {"name": "iid", "clients": 1}
    content = raw_with(PATHOLOGICAL) | {"data": data, "model": {"name": "lstm"}}
    Path("mine.toml").write_text(tomli_w.dumps(content))
    result = CliRunner().invoke(app, ["partition", "mine.toml"], catch_exceptions=False)
    assert result.stderr.splitlines() == ["note: data.path: left out 1 file: .doc × 1"]
