from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedlab.errors import FedlabError
from fedlab.results.reading import RunRecord


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_finished_run_is_read_whole(finished_run: Path) -> None:
    record = RunRecord.load(finished_run)
    assert (record.name, record.title, record.status) == (
        "digits",
        "Digits, ten clients",
        "finished",
    )
    assert [row.round for row in record.rounds] == list(range(9))
    assert record.metric is not None
    assert record.metric.name == "accuracy"
    assert record.best is not None
    assert record.best.value("accuracy") == max(row.value("accuracy") for row in record.tested)
    assert record.bytes_moved == sum(row.bytes_down + row.bytes_up for row in record.rounds)
    assert (record.scenario.data.partition.name, record.scenario.seed) == ("dirichlet", 3)


@pytest.mark.parametrize("name", ["metrics.jsonl", "clients.jsonl", "baselines.jsonl"])
def test_a_half_written_last_line_is_passed_over(run: Path, name: str) -> None:
    before = RunRecord.load(run)
    last = (run / name).read_text().splitlines()[-1]
    append(run / name, last[: len(last) // 2])
    after = RunRecord.load(run)
    assert (after.rounds, after.baselines) == (before.rounds, before.baselines)
    assert after.client_values("evaluate", "accuracy") == before.client_values(
        "evaluate", "accuracy"
    )


def test_a_damaged_line_in_the_middle_is_named(run: Path) -> None:
    append(run / "metrics.jsonl", '{"round": \n{"round": 9}\n')
    with pytest.raises(FedlabError, match=r"metrics\.jsonl, line 10: this is not JSON"):
        RunRecord.load(run)


def test_a_wrong_value_is_named_with_its_key(run: Path) -> None:
    append(run / "metrics.jsonl", '{"round": 9, "test": {"loss": "low"}}\n')
    with pytest.raises(FedlabError, match=r"metrics\.jsonl, line 10, key 'test.loss'"):
        RunRecord.load(run)


def test_a_run_without_summary_is_unfinished(run: Path) -> None:
    for name in ("summary.json", "confusion.json", "baselines.jsonl", "partition.json"):
        (run / name).unlink()
    record = RunRecord.load(run)
    assert record.status == "unfinished"
    assert record.best is not None
    assert record.clients == 0


def test_a_run_that_has_only_begun_is_read(run: Path) -> None:
    for path in run.iterdir():
        if path.name != "scenario.toml":
            path.unlink()
    record = RunRecord.load(run)
    assert (record.rounds, record.metric, record.best) == ([], None, None)
    assert record.client_values("train", "loss") is None


def test_a_round_that_was_written_twice_counts_once(run: Path) -> None:
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    append(run / "metrics.jsonl", json.dumps({**line, "failures": 2}) + "\n")
    rounds = RunRecord.load(run).rounds
    assert [row.round for row in rounds] == list(range(9))
    assert rounds[-1].failures == 2


def test_a_metric_that_is_no_number_is_never_the_best(run: Path) -> None:
    append(run / "metrics.jsonl", '{"round": 9, "test": {"loss": NaN, "accuracy": null}}\n')
    record = RunRecord.load(run)
    assert record.best is not None
    assert record.best.round < 9


def test_client_values_are_those_of_the_last_round(finished_run: Path) -> None:
    record = RunRecord.load(finished_run)
    found = record.client_values("evaluate", "accuracy")
    assert found is not None
    assert found[0] == 8
    assert len(found[1]) == 5
    spread = record.rounds[-1].clients["accuracy"]
    assert sum(found[1].values()) / 5 == pytest.approx(spread.mean)


def test_many_client_lines_are_read_line_by_line(run: Path) -> None:
    lines = (
        {"round": 9 + n // 20_000, "client": n, "phase": "train", "examples": 1, "loss": n}
        for n in range(60_000)
    )
    append(run / "clients.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    found = RunRecord.load(run).client_values("train", "loss")
    assert found is not None
    assert (found[0], len(found[1])) == (11, 20_000)


def test_what_is_not_a_run_is_said_to_be_none(tmp_path: Path, run: Path) -> None:
    with pytest.raises(FedlabError, match=r"is not a run folder: it has no scenario\.toml"):
        RunRecord.load(tmp_path / "..")
    with pytest.raises(FedlabError, match="there is no run folder"):
        RunRecord.load(tmp_path / "nowhere")
    with pytest.raises(FedlabError, match="is not a run folder"):
        RunRecord.load(run / "metrics.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scenario.toml", "rounds = ", "scenario.toml: this is not TOML"),
        ("summary.json", '{"status": ', "summary.json, line 1: this is not JSON"),
        ("partition.json", "[1]", "partition.json: a JSON object belongs here"),
        ("summary.json", '{"status": "lost", "rounds": 1}', "summary.json, key 'status'"),
        ("metrics.jsonl", "[1]\n", "metrics.jsonl, line 1: a JSON object belongs here"),
    ],
)
def test_damaged_files_are_named(run: Path, name: str, content: str, message: str) -> None:
    (run / name).write_text(content)
    with pytest.raises(FedlabError) as caught:
        RunRecord.load(run)
    assert message in str(caught.value)


def test_a_folder_of_runs_names_those_within(tmp_path: Path) -> None:
    for name in ("a", "b", "runs/c", "runs/d", "other"):
        (tmp_path / name).mkdir(parents=True)
        if name != "other":
            (tmp_path / name / "scenario.toml").touch()
    with pytest.raises(FedlabError) as refused:
        RunRecord.load(tmp_path)
    named = ", ".join(str(tmp_path / name) for name in ("a", "b", "runs/c"))
    assert str(refused.value).endswith(f"scenario.toml; run folders within: {named} and 1 more")


def test_a_file_of_a_run_names_its_folder(finished_run: Path) -> None:
    with pytest.raises(FedlabError, match=f"but a file of the run folder {finished_run}$"):
        RunRecord.load(finished_run / "summary.json")
