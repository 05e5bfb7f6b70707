"""Scenarios in Python are those of the command line: the same keys, checks and sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlab
from fedlab.scenario import load, loads
from fedlab.scenario.changes import content_of
from fedlab.scenario.loading import check
from strategies.scaffold import Scaffold
from tests.shared import SMALL, raw_with


def test_names_files_tables_and_keywords_describe_the_same_scenario(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(fedlab.Scenario(SMALL).to_toml())
    expected = check(raw_with(), "scenario")
    for found in (fedlab.Scenario(SMALL), fedlab.Scenario(**SMALL), fedlab.Scenario(file)):
        assert found.to_dict() == content_of(expected)
    assert fedlab.Scenario(str(file)).name == "small"
    assert fedlab.Scenario("fedavg").to_dict() == content_of(load("fedavg"))


@pytest.mark.parametrize(
    ("overrides", "option"),
    [
        ({"rounds": 7}, "rounds=7"),
        ({"client__optimizer__lr": 0.25}, "client.optimizer.lr=0.25"),
        ({"client.optimizer.lr": np.float64(0.25)}, "client.optimizer.lr=0.25"),
        ({"client": {"optimizer": {"lr": 0.25}}}, "client.optimizer.lr=0.25"),
        ({"strategy": "fedprox"}, "strategy.name=fedprox"),
        ({"model": {"hidden": (8, 8)}}, "model.hidden=[8, 8]"),
        ({"evaluation__early_stopping": None}, "evaluation.early_stopping=none"),
        ({"data__partition": {"alpha": 0.1}}, "data.partition.alpha=0.1"),
    ],
)
def test_a_keyword_does_what_the_option_set_does(overrides: dict[str, Any], option: str) -> None:
    expected = content_of(load("fedavg", [option]))
    assert fedlab.Scenario("fedavg", **overrides).to_dict() == expected


def test_a_table_may_extend_a_built_in_scenario() -> None:
    found = fedlab.Scenario({"extends": "fedavg", "rounds": 4})
    assert found == fedlab.Scenario("fedavg", rounds=4)
    assert found.with_(rounds=5).rounds == 5
    assert found.client.optimizer.lr == found.settings.client.optimizer.lr


def test_paths_are_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = fedlab.Scenario(SMALL, model={"pretrained": Path("weights.safetensors")})
    assert found.model.pretrained == str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"rounds": 0}, "argument rounds: it must be at least 1, not 0"),
        ({"rounds": "3"}, "argument rounds: a whole number belongs here, not '3'"),
        ({"round": 3}, "argument round: there is no such key. Did you mean 'rounds'?"),
        ({"client__optimiser": {}}, "Did you mean 'optimizer'?"),
        ({"strategy": "fedavgg"}, "unknown strategy 'fedavgg'. Did you mean 'fedavg'?"),
        ({"data": {"path": object()}}, "argument data.path: a number, text, list, table or class"),
        ({"rounds__inner": 1}, "rounds: a whole number belongs here, not {'inner': 1}"),
        ({"extends": "fedavg"}, "argument extends: the first argument says what is extended"),
    ],
)
def test_a_mistake_is_the_one_sentence_of_the_command_line(
    overrides: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(fedlab.FedlabError) as refused:
        fedlab.Scenario("fedavg", **overrides)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(fedlab.FedlabError) as refused:
        fedlab.Scenario(SMALL, rounds=0, client__epochs=-1, model={"name": "mpl"})
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("source", [3, 0.5, [1], b"fedavg"])
def test_what_is_no_scenario_is_refused(source: Any) -> None:
    with pytest.raises(fedlab.FedlabError, match="a scenario is the name of one"):
        fedlab.Scenario(source)


def test_a_built_in_class_stands_for_its_name() -> None:
    assert fedlab.Scenario(SMALL, strategy=Scaffold).strategy.name == "scaffold"


def test_a_local_class_is_used_where_it_is_passed() -> None:
    from fedlab.algorithm.client import ClientAlgorithm

    def made(said: str) -> Any:
        class Local(ClientAlgorithm):
            """Trains as usual."""

        Local.said = said  # type: ignore[attr-defined]
        return Local

    first = fedlab.Scenario(SMALL, client=made("first"))
    second = fedlab.Scenario(SMALL, client=made("second"))
    assert first.client.name == f"{__name__}:Local"
    from fedlab.registry import clients

    second.check()
    assert clients.get(second.client.name).said == "second"
    first.check()
    assert clients.get(first.client.name).said == "first"


def test_check_refuses_what_a_run_would() -> None:
    with pytest.raises(fedlab.FedlabError, match="clients have nothing to be evaluated on"):
        fedlab.Scenario(SMALL, evaluation__federated=True, data__validation=0.0).check()


def test_a_saved_scenario_is_read_again(tmp_path: Path) -> None:
    found = fedlab.Scenario(SMALL, rounds=9)
    assert fedlab.Scenario(found.save(tmp_path / "own.toml")) == found
    assert content_of(loads(found.to_toml())) == found.to_dict()
    assert fedlab.Scenario(found.to_dict()) == found


def test_importing_fedlab_imports_nothing_heavy() -> None:
    said = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, time; t = time.perf_counter(); import fedlab; dir(fedlab);"
            "print(time.perf_counter() - t, [m for m in ('torch', 'ray', 'flwr', 'pandas', 'numpy')"
            " if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    seconds, _, heavy = said.strip().partition(" ")
    assert float(seconds) < 1
    assert heavy == "[]"
