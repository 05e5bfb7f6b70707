from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from fedlab.deploy.flower.control import RunStatus
from fedlab.deploy.run_process import outcome
from fedlab.deploy.settings import Listening
from fedlab.deploy.submit import (
    configuration_of,
    control_of,
    exit_code_of,
    outcome_of,
    resumed,
)
from fedlab.errors import FedlabError, FedlabErrors
from fedlab.scenario import loads
from tests.shared import SMALL


def ended(outcome: str, details: str = "") -> RunStatus:
    return RunStatus(1, "finished", outcome, details, "")


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(tomli_w.dumps(SMALL))
    return str(path)


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (FedlabError("data.path: it is\nmissing"), 2, "error: data.path: it is missing\n"),
        (FedlabErrors(["first", "second"]), 2, "error: first\nerror: second\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(143), 143, ""),
    ],
)
def test_a_run_ends_with_the_exit_code_of_what_ended_it_and_one_sentence(
    error: BaseException, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(ended("failed", outcome(error))) == code
    assert capsys.readouterr().err == printed


def test_what_nobody_can_mend_is_printed_with_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code_of(ended("failed", outcome(ValueError("odd")))) == 1
    assert "ValueError: odd" in capsys.readouterr().err


def test_how_far_a_run_is_is_said_in_a_word() -> None:
    assert outcome_of(RunStatus(1, "running", "", "", "")) == "running"
    assert outcome_of(ended("failed", "130: ")) == "interrupted"
    assert outcome_of(ended("failed", "2: rounds")) == "failed"
    assert outcome_of(ended("completed")) == "completed"


def test_exit_codes_of_runs_that_end_otherwise() -> None:
    assert exit_code_of(ended("completed")) == 0
    assert exit_code_of(ended("stopped")) == 130
    assert exit_code_of(ended("failed", "no heartbeat")) == 1


def test_a_new_run_has_its_whole_scenario_and_a_folder_of_its_own(
    scenario: str, tmp_path: Path
) -> None:
    settings = Listening(runs=str(tmp_path / "runs"))
    made = configuration_of(settings, scenario, ["rounds=7"], None)
    assert loads(made["scenario"]).rounds == 7
    assert Path(made["folder"]).parent == tmp_path / "runs"
    assert Path(made["folder"]).name.startswith("small-")
    assert made["resume"] is False


def test_a_run_folder_that_is_there_is_not_taken(scenario: str, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with pytest.raises(FedlabError, match="another --name"):
        configuration_of(Listening(runs=str(tmp_path)), scenario, [], "first")
    with pytest.raises(FedlabError, match="no name of a folder"):
        configuration_of(Listening(runs=str(tmp_path)), scenario, [], "../first")


def test_a_run_goes_on_in_its_folder_with_its_scenario_and_changes(
    scenario: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    Path(scenario).rename(run / "scenario.toml")
    made = resumed(run, ["rounds=9"])
    assert loads(made["scenario"]).rounds == 9
    assert (made["folder"], made["resume"]) == (str(run), True)
    with pytest.raises(FedlabError, match="not a run folder"):
        resumed(tmp_path, [])


def test_without_a_running_server_the_command_to_start_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(FedlabError, match="'fedlab deploy server'"):
        control_of(Listening(state=str(tmp_path)))
