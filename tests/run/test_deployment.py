"""A deployment trains each site on its own data, to the figures of its simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MessageType
from safetensors.numpy import load_file

from fedlab.cli.resume import resume
from fedlab.engine.worker.worker import Worker
from fedlab.errors import EngineFault, FedlabError
from fedlab.run.deployment import deploy
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.rounds import TooFewReplies
from fedlab.scenario import Scenario, dumps
from fedlab.use.evaluate import evaluate_trained
from fedlab.use.loading import load_trained
from tests.data.sites.files import PICTURES, TABLE, site_of_pictures, site_of_rows, some_rows
from tests.engine.flower.nodes import Nodes
from tests.shared import scenario_with

ENGINE = {
    "name": "deployment",
    "sites_timeout": 5.0,
    "reply_timeout": 0.5,
    "superlink_timeout": 0.3,
}


def sites_of(folder: Path, kind: str, **permissions: str) -> list[Path]:
    """Write three sites that hold different amounts of data."""
    if kind == "table":
        return [
            site_of_rows(folder, name, some_rows(20 + 10 * k, k), **permissions)
            for k, name in enumerate("abc")
        ]
    held: list[dict[str, int]] = [{"red": 9, "green": 5}, {"blue": 12}, {"red": 7, "blue": 20}]
    return [site_of_pictures(folder, n, c) for n, c in zip("abc", held, strict=True)]


def scenario_of(kind: str, *changes: Any, sites: list[Path] | None = None) -> Scenario:
    schema = TABLE if kind == "table" else PICTURES
    files = [str(path) for path in sites or ()]
    data = {"partition": None, **schema, "sites": 3, **({"site_files": files} if files else {})}
    return scenario_with({"rounds": 2, "data": data}, *changes)


def deployed(
    folder: Path, scenario: Scenario, nodes: Nodes | None = None, sites: Any = (), **keys: Any
) -> Path:
    """Run a scenario at sites; return the run folder."""
    text = dumps(scenario)
    path = folder / "deployed"
    grid: Any = nodes or Nodes(text, sites)
    deploy(grid, {"scenario": text, "folder": str(path), **keys})
    return path


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    file = path / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def assert_same(one: Path, other: Path) -> None:
    expected = load_file(other / "model.safetensors")
    for name, tensor in load_file(one / "model.safetensors").items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_a_deployment_equals_the_simulation_of_its_sites(tmp_path: Path, kind: str) -> None:
    sites = sites_of(tmp_path, kind)
    strategy = {"strategy": {"name": "fedavgm"}, "evaluation": {"federated": True}}
    simulated = RunFolder.create(tmp_path, "s", scenario_of(kind, strategy, sites=sites))
    run(simulated)
    path = deployed(tmp_path, scenario_of(kind, strategy, {"engine": ENGINE}), sites=sites)
    assert_same(path, simulated.path)
    for mine, theirs in zip(
        lines(path, "metrics.jsonl"), lines(simulated.path, "metrics.jsonl"), strict=True
    ):
        for phase in ("train", "clients", "validation"):
            assert mine.get(phase, {}).keys() == theirs.get(phase, {}).keys()
    assert (path / "report.html").is_file()


def test_the_folder_holds_numbers_of_examples_and_nothing_else_of_the_sites(
    tmp_path: Path,
) -> None:
    sites = sites_of(tmp_path, "pictures")
    path = deployed(tmp_path, scenario_of("pictures"), sites=sites)
    partition = json.loads((path / "partition.json").read_text())
    assert partition["sizes"] == [14, 12, 27]
    assert not {"names", "labels", "counts"} & partition.keys()
    engine = json.loads((path / "deployment.json").read_text())["engine"]
    assert engine == "flower deployment × 3 sites"
    assert f"{engine} · " in (path / "report.html").read_text()
    assert json.loads((path / "data.json").read_text())["train"]["digest"] == "at the sites"
    sent = {line["client"]: line["examples"] for line in lines(path, "clients.jsonl")}
    assert sent.keys() == {0, 1, 2}


def test_no_message_to_or_from_a_site_names_a_file_or_the_site(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "table")
    text = dumps(scenario_of("table"))
    nodes, replies = Nodes(text, sites), []

    def kept(number: int, reply: Message) -> Message:
        replies.append(str(reply.content.config_records))
        return reply

    nodes.spoil = kept
    deployed(tmp_path, scenario_of("table"), nodes)
    for said in replies:
        assert str(tmp_path) not in said
        assert "patients" not in said


def test_names_and_counts_are_kept_where_both_sides_say_so(tmp_path: Path) -> None:
    every = "statistics = true\nclass_counts = true\nnames = true"
    sites = sites_of(tmp_path, "table", permissions=every)
    collect = {"data": {"collect": ["names", "class_counts"]}}
    path = deployed(tmp_path, scenario_of("table", collect), sites=sites)
    partition = json.loads((path / "partition.json").read_text())
    assert partition["names"] == ["a", "b", "c"]
    assert [sum(row) for row in partition["counts"]] == partition["sizes"]


def test_each_site_that_differs_is_named_with_what_differs(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "table")
    site_of_rows(tmp_path, "b", ["50,x"] * 3, header="age,ill")
    site_of_rows(tmp_path, "c", some_rows(9, 0), permissions="")
    with pytest.raises(FedlabError) as error:
        deployed(tmp_path, scenario_of("table"), sites=sites)
    assert "site 1: column 'ward' is missing" in str(error.value)
    assert "site 2: [permissions] statistics is false" in str(error.value)
    assert not (tmp_path / "deployed").exists()


def test_a_site_that_is_late_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    scenario = scenario_of("pictures", {"engine": {**ENGINE, "sites_timeout": 0.5}})
    nodes = Nodes(dumps(scenario), sites)
    nodes.gone = {1}
    with pytest.raises(FedlabError, match=r"2 of 3 sites are there after 0 s .*: 1"):
        deployed(tmp_path, scenario, nodes)


def test_another_fedlab_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sites = sites_of(tmp_path, "pictures")
    nodes = Nodes(dumps(scenario_of("pictures")), sites)

    def spoil(number: int, reply: Message) -> Message:
        said: Any = reply.content.config_records.get("config", {})
        if number == 1 and "answer" in said:
            content = json.loads(said["answer"])
            content["facts"]["fedlab"] = "0123456789ab"
            said["answer"] = json.dumps(content)
        return reply

    nodes.spoil = spoil
    with pytest.raises(FedlabError, match=r"site 1: it has another fedlab \(source 0123456789ab"):
        deployed(tmp_path, scenario_of("pictures"), nodes)


def poisoned(values: np.ndarray[Any, Any]) -> Any:
    def spoil(number: int, reply: Message) -> Message:
        if number == 1 and reply.metadata.message_type == MessageType.TRAIN:
            reply.content["arrays"] = ArrayRecord({"weights": Array(values)})
        return reply

    return spoil


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(3, 1.0, np.float32), "3 weights"),
        (np.full(10_000_000, 1.0, np.float32), "10000000 weights"),
        (None, "not finite"),
    ],
)
def test_an_update_that_cannot_be_used_is_counted_with_its_site(
    tmp_path: Path, values: Any, reason: str
) -> None:
    sites = sites_of(tmp_path, "pictures")
    nodes = Nodes(dumps(scenario_of("pictures")), sites)
    if values is None:

        def spoil(number: int, reply: Message) -> Message:
            if number == 1 and reply.metadata.message_type == MessageType.TRAIN:
                record: Any = next(iter(reply.content.array_records.values()))
                values = record["weights"].numpy()
                values[0] = np.nan
                record["weights"] = Array(values)
            return reply

        nodes.spoil = spoil
    else:
        nodes.spoil = poisoned(values)
    path = deployed(tmp_path, scenario_of("pictures"), nodes)
    failures = lines(path, "failures.jsonl")
    assert [failure["client"] for failure in failures] == [1, 1]
    assert all(f["reason"].startswith("site 1: ") for f in failures)
    assert all(reason in f["reason"] for f in failures)
    assert json.loads((path / "summary.json").read_text())["status"] == "finished"


def test_a_silent_site_fails_its_round_and_the_run_goes_on(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    scenario = scenario_of("pictures", {"engine": ENGINE})
    nodes = Nodes(dumps(scenario), sites)
    nodes.silent = {2}
    path = deployed(tmp_path, scenario, nodes)
    assert {f["client"] for f in lines(path, "failures.jsonl")} == {2}
    assert "no answer in time" in lines(path, "failures.jsonl")[0]["reason"]


def test_a_site_that_goes_and_comes_back_takes_part_again(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    scenario = scenario_of("pictures", {"rounds": 3, "engine": ENGINE})
    nodes = Nodes(dumps(scenario), sites)

    def before(number: int, message: Message) -> None:
        config: Any = message.content.config_records.get("config", {})
        if message.metadata.message_type == MessageType.TRAIN:
            nodes.gone = {2} if config["server-round"] == 1 else set()

    nodes.before = before
    path = deployed(tmp_path, scenario, nodes)
    trained = [line["client"] for line in lines(path, "clients.jsonl") if line["phase"] == "train"]
    assert trained.count(2) == 1
    assert trained.count(0) == trained.count(1) == 3
    assert 2 in {line["client"] for line in lines(path, "clients.jsonl") if line["round"] == 3}


def test_too_few_sites_end_the_run_with_the_command_that_goes_on(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    scenario = scenario_of("pictures", {"engine": ENGINE, "evaluation": {"minimum_replies": 3}})
    nodes = Nodes(dumps(scenario), sites)

    def before(number: int, message: Message) -> None:
        config: Any = message.content.config_records.get("config", {})
        if message.metadata.message_type == MessageType.TRAIN and config["server-round"] == 2:
            nodes.silent = {0}

    nodes.before = before
    with pytest.raises(TooFewReplies, match="fedlab deploy run --resume"):
        deployed(tmp_path, scenario, nodes)
    nodes.silent, nodes.before = set(), lambda number, message: None
    whole = RunFolder.create(tmp_path, "s", scenario_of("pictures", sites=sites))
    run(whole)
    path = deployed(tmp_path, scenario, nodes, resume=True)
    assert_same(path, whole.path)


def test_a_lost_superlink_ends_the_run_in_time(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    scenario = scenario_of("pictures", {"engine": ENGINE})
    nodes = Nodes(dumps(scenario), sites)

    def before(number: int, message: Message) -> None:
        if message.metadata.message_type == MessageType.TRAIN:
            raise ConnectionError("the connection was refused")

    nodes.before = before
    with pytest.raises(EngineFault, match="the SuperLink does not answer: ConnectionError"):
        deployed(tmp_path, scenario, nodes)


def test_what_a_client_keeps_outlives_its_supernode(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    client = {"rounds": 3, "client": {"name": "ditto"}, "engine": ENGINE}
    whole = RunFolder.create(
        tmp_path, "s", scenario_of("pictures", client, {"engine": None}, sites=sites)
    )
    run(whole)
    scenario = scenario_of("pictures", client)
    nodes = Nodes(dumps(scenario), sites)
    nodes.before = lambda number, message: nodes.restart()
    path = deployed(tmp_path, scenario, nodes)
    assert_same(path, whole.path)
    mine, theirs = (lines(p, "metrics.jsonl")[-1]["clients"] for p in (path, whole.path))
    assert mine["loss"]["mean"] == pytest.approx(theirs["loss"]["mean"], rel=1e-4)
    (kept,) = (tmp_path / "a.states").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_a_central_data_set_is_still_taken_part_by_part(tmp_path: Path) -> None:
    scenario = scenario_with({"rounds": 2, "data": {"name": "iris", "partition": {"clients": 3}}})
    whole = RunFolder.create(tmp_path, "s", scenario)
    run(whole)
    own = sites_of(tmp_path, "pictures")
    for number, sites in enumerate(([None] * 3, own)):
        (tmp_path / str(number)).mkdir()
        path = deployed(tmp_path / str(number), scenario, sites=sites)
        assert_same(path, whole.path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation": {"baselines": ["local"]}}, "evaluation.baselines: they train on all"),
        ({"attack": {"name": "sign-flip", "fraction": 0.5}}, "real sites attack nobody"),
        ({"client": {"batch_size": "auto"}}, "client.batch_size: 'auto' is found on"),
        ({"client": {"class_weights": "balanced"}}, "client.class_weights: 'balanced' needs how"),
        ({"data": {"train_examples": 9}}, "data.train_examples: nobody has all"),
    ],
)
def test_what_no_deployment_can_do_is_refused_before_the_sites_are_asked(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    scenario = scenario_of("pictures", changes)
    nodes = Nodes(dumps(scenario), sites_of(tmp_path, "pictures"))
    with pytest.raises(FedlabError, match=sentence):
        deployed(tmp_path, scenario, nodes)
    assert not nodes.seen
    assert not (tmp_path / "deployed").exists()


def test_a_deployments_folder_is_resumed_by_a_deployment_alone(tmp_path: Path) -> None:
    scenario = scenario_of("pictures")
    path = deployed(tmp_path, scenario, sites=sites_of(tmp_path, "pictures"))
    with pytest.raises(FedlabError, match=f"'fedlab deploy run --resume {path}' goes on"):
        resume(path)
    simulated = RunFolder.create(tmp_path, "s", scenario)
    with pytest.raises(FedlabError, match="is the run of a simulation"):
        deploy(
            Nodes(dumps(scenario), ()),  # type: ignore[arg-type]
            {"scenario": dumps(scenario), "folder": str(simulated.path), "resume": True},
        )


def test_the_servers_own_test_data_are_evaluated_at_the_server(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    site_of_pictures(tmp_path, "held", {"red": 3, "green": 2, "blue": 4})
    test = {"data": {"test": {"name": "imagefolder", "path": str(tmp_path / "held")}}}
    whole = RunFolder.create(tmp_path, "s", scenario_of("pictures", test, sites=sites))
    run(whole)
    path = deployed(tmp_path, scenario_of("pictures", test), sites=sites)
    mine, theirs = (lines(p, "metrics.jsonl") for p in (path, whole.path))
    assert [line["test"]["loss"] for line in mine] == pytest.approx(
        [line["test"]["loss"] for line in theirs], rel=1e-5
    )
    found = evaluate_trained(load_trained(path)).compute()
    assert found["accuracy"] == pytest.approx(mine[-1]["test"]["accuracy"])


def test_phases_keep_a_sites_data_and_equal_the_simulation(tmp_path: Path) -> None:
    sites = sites_of(tmp_path, "pictures")
    phases = {
        "rounds": None,
        "phases": [
            {"name": "head", "rounds": 1, "trainable": "head"},
            {"name": "all", "rounds": 1, "trainable": "all"},
        ],
    }
    whole = RunFolder.create(tmp_path, "s", scenario_of("pictures", phases, sites=sites))
    run(whole)
    assert_same(deployed(tmp_path, scenario_of("pictures", phases), sites=sites), whole.path)


def test_balanced_classes_are_counted_over_all_sites_that_permit_it(tmp_path: Path) -> None:
    every = "statistics = true\nclass_counts = true"
    sites = sites_of(tmp_path, "table", permissions=every)
    keys = {"data": {"collect": ["class_counts"]}, "client": {"class_weights": "balanced"}}
    whole = RunFolder.create(tmp_path, "s", scenario_of("table", keys, sites=sites))
    run(whole)
    assert_same(deployed(tmp_path, scenario_of("table", keys), sites=sites), whole.path)


def test_an_error_at_a_site_quotes_nothing_of_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = sites_of(tmp_path, "pictures")

    def fail(*arguments: Any, **keys: Any) -> Any:
        raise ValueError("row 7 of patients.csv holds 'Ada'")

    monkeypatch.setattr(Worker, "train", fail)
    with pytest.raises(TooFewReplies) as error:
        deployed(tmp_path, scenario_of("pictures"), sites=sites)
    assert "ValueError at the site; its own log says more" in str(error.value)
    assert "Ada" not in str(error.value)
