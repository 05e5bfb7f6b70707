"""What is answered, held against what the readers of run folders say."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys

import pytest
from filelock import FileLock

from fedlab import files
from fedlab.errors import FedlabError
from fedlab.results.comparison import Comparison
from fedlab.results.group_curves import curve
from fedlab.results.reading import RunRecord
from fedlab.results.settings_comparison import SettingsComparison
from fedlab.ui.view import NotThere, View

BAD = "<img src=x onerror=alert(1)>"


def _rows(view: View) -> dict[str, dict]:
    return {row["id"]: row for row in view.runs()["runs"]}


def _end(run, status: str | None) -> None:
    """Let a run have another end, or none."""
    path = run / files.SUMMARY
    if status is None:
        path.unlink()
        return
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": status}))


def test_the_list_says_of_each_run_what_its_record_says(runs) -> None:
    for name, row in _rows(View(runs)).items():
        record = RunRecord.load(runs / name)
        assert row["state"] == record.status == "finished"
        assert row["round"] == record.rounds[-1].round
        assert row["rounds"] == record.scenario.rounds
        assert row["value"] == record.tested[-1].value("accuracy")
        assert row["text"] == record.metric.text(row["value"])
        assert (row["strategy"], row["data"], row["engine"]) == ("fedavg", "digits", "inline")


def test_a_run_began_when_it_says_else_when_its_scenario_was_written(runs) -> None:
    path = runs / "digits" / files.ENVIRONMENT
    path.write_text('{"started": "2026-11-30T10:00:00+0100"}')
    os.utime(runs / "digits-slower" / files.SCENARIO, (0, 0))
    rows = _rows(View(runs))
    assert rows["digits"]["started"] == "2026-11-30T10:00:00+01:00"
    assert rows["digits-slower"]["started"].startswith("1970-01-01T00:00")


def test_the_newest_metric_of_the_list_is_of_an_evaluated_round(runs) -> None:
    with (runs / "digits" / files.METRICS).open("a") as file:
        file.write('{"round": 9}\n{"round": 10}\n{"round": 11, "te')
    row = _rows(View(runs))["digits"]
    assert row["round"] == 10
    assert row["value"] == RunRecord.load(runs / "digits").tested[-1].value("accuracy")


def test_a_run_is_running_as_long_as_a_process_holds_its_lock(runs) -> None:
    run = runs / "digits"
    _end(run, None)
    view = View(runs)
    assert _rows(view)["digits"]["state"] == "unfinished"
    holder = run / files.LOCK_HOLDER
    with FileLock(run / files.LOCK):
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        assert _rows(view)["digits"]["state"] == "running"
        assert view.run("digits")["state"] == "running"
    # What a process that was killed leaves behind, whoever has its number now.
    assert _rows(view)["digits"]["state"] == "unfinished"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder.write_text(f"process {ended.pid} on {socket.gethostname()}\n")
    assert _rows(view)["digits"]["state"] == "unfinished"
    # Of another machine only its word is known.
    holder.write_text("process 1 on elsewhere\n")
    assert _rows(view)["digits"]["state"] == "running"


@pytest.mark.parametrize("status", ["finished", "stopped", "failed"])
def test_an_end_is_called_as_the_summary_says(runs, status) -> None:
    _end(runs / "digits", status)
    view = View(runs)
    assert _rows(view)["digits"]["state"] == view.run("digits")["state"] == status


def test_curves_are_the_figures_of_the_lines(runs) -> None:
    view, record = View(runs), RunRecord.load(runs / "digits")
    found = view.columns("digits", 0, 0)
    assert found["rounds"] == [row.round for row in record.rounds]
    columns = found["columns"]
    assert columns["test.accuracy"] == [row.test["accuracy"] for row in record.rounds]
    assert columns["bytes_up"] == [row.bytes_up for row in record.rounds]
    for place, row in enumerate(record.rounds):
        spread = row.clients.get("accuracy")
        value = columns["clients.accuracy.worst_decile"][place]
        assert value == (spread.worst_decile if spread else None)


def test_charts_name_columns_that_there_are_and_baselines_by_round(runs) -> None:
    view, record = View(runs), RunRecord.load(runs / "digits")
    charts = view.run("digits")["charts"]
    assert [chart["name"] for chart in charts[:2]] == ["accuracy", "loss"]
    columns = view.columns("digits", 0, 0)["columns"]
    pooled = [row for row in record.baselines if row.baseline == "centralised"]
    for chart in charts:
        for curve_ in chart["curves"]:
            if "rounds" not in curve_:
                assert curve_["key"] in columns
    (baseline,) = [c for c in charts[0]["curves"] if "rounds" in c]
    assert baseline["values"] == [row.test["accuracy"] for row in pooled]


def test_only_new_rounds_are_sent_and_all_where_a_run_was_taken_back(runs) -> None:
    view = View(runs)
    path = runs / "digits" / files.METRICS
    first = view.columns("digits", 0, 0)
    count, generation = len(first["rounds"]), first["generation"]
    assert view.columns("digits", count, generation)["rounds"] == []
    with path.open("a") as file:
        file.write('{"round": 9, "test": {"accuracy": 0.5}}\n{"round": 10, "tes')
    new = view.columns("digits", count, generation)
    assert (new["begin"], new["rounds"]) == (count, [9])
    assert new["columns"]["test.accuracy"] == [0.5]
    # As 'resume' does: the lines up to the checkpoint are written anew, and others follow.
    kept = path.read_text().splitlines(keepends=True)[:3]
    others = [json.dumps({"round": number}) + "\n" for number in range(3, 30)]
    path.with_name("new").write_text("".join([*kept, *others]))
    path.with_name("new").replace(path)
    again = view.columns("digits", count + 1, generation)
    assert (again["begin"], len(again["rounds"])) == (0, 30)
    assert again["generation"] != generation


def test_a_round_has_its_clients_as_its_lines_say(runs) -> None:
    record = RunRecord.load(runs / "digits")
    lines = [
        json.loads(line) for line in (runs / "digits" / files.CLIENTS).read_text().splitlines()
    ]
    for row in record.rounds:
        found = View(runs).round("digits", row.round)
        own = {}
        for table in found["clients"]:
            labels = [column["label"] for column in table["columns"]]
            for cells in table["rows"]:
                own[cells[labels.index("client")]] = dict(zip(labels, cells, strict=True))
        for line in (line for line in lines if line["round"] == row.round):
            where = {"train": "training", "evaluate": "own part"}[line["phase"]]
            assert own[line["client"]][f"examples, {where}"] == line["examples"]
            assert own[line["client"]][f"loss, {where}"] == line["loss"]
        assert found["metrics"][0]["value"]
        assert dict(found["facts"]).get("failures", "0") == str(row.failures)


def test_a_client_that_failed_stands_in_its_round_with_its_reason(runs) -> None:
    line = {"round": 2, "client": 77, "phase": "train", "reason": f"{BAD}\nbroke"}
    (runs / "digits" / files.FAILURES).write_text(json.dumps(line) + "\n")
    view = View(runs)
    found = view.round("digits", 2)
    (table,) = found["clients"]
    labels = [column["label"] for column in table["columns"]]
    cells = next(row for row in table["rows"] if row[labels.index("client")] == 77)
    assert cells[labels.index("failure")] == f"{BAD} broke"
    assert found["failures"][0]["reason"] == f"{BAD} broke"
    assert view.round("digits", 3)["failures"] == []
    assert view.run("digits")["failures"]["reasons"]["rows"] == [[f"{BAD} broke", "1"]]


def test_clients_that_never_train_have_a_table_of_their_own(runs) -> None:
    with (runs / "digits" / files.METRICS).open("a") as file:
        spread = {"mean": 0.5, "std": 0, "worst_decile": 0.5, "min": 0.5, "max": 0.5}
        file.write(json.dumps({"round": 9, "unseen": {"1": {"accuracy": spread}}}) + "\n")
    with (runs / "digits" / files.CLIENTS).open("a") as file:
        for line in (
            {"round": 9, "client": 1, "phase": "train", "examples": 5, "loss": 0.1},
            {"round": 9, "client": 50, "phase": "unseen", "examples": 6, "after_1_accuracy": 0.5},
        ):
            file.write(json.dumps(line) + "\n")
    found = View(runs).round("digits", 9)
    cohort, unseen = found["clients"]
    assert (cohort["title"], unseen["title"]) == (
        "Clients of round 9: 1",
        "New clients of round 9: 1",
    )
    assert [column["label"] for column in unseen["columns"]] == [
        *("client", "examples", "accuracy after 1 step"),
    ]
    assert unseen["rows"] == [[50, 6, 0.5]]
    assert [table["title"] for table in found["tables"]] == ["New clients after 1 step"]


def test_a_round_that_is_none_is_one_sentence(runs) -> None:
    with pytest.raises(FedlabError, match="digits has no round 99"):
        View(runs).round("digits", 99)


def test_the_partition_is_that_of_the_file(runs) -> None:
    found = View(runs).partition("digits")
    said = json.loads((runs / "digits" / files.PARTITION).read_text())
    assert found["sizes"] == said["sizes"]
    assert found["counts"] == said["counts"]
    (runs / "digits" / files.PARTITION).unlink()
    assert View(runs).partition("digits") == {}


def test_recall_and_precision_are_those_of_the_matrix(runs) -> None:
    confusion = {"labels": ["a", BAD], "matrix": [[8, 2], [1, 9]]}
    (runs / "digits" / files.CONFUSION).write_text(json.dumps(confusion))
    found = View(runs).run("digits")["confusion"]
    assert found["lead"].startswith("17 of 20")
    assert [row[2:] for row in found["classes"]["rows"]] == [
        ["80.0\u00a0%", "88.9\u00a0%"],
        ["90.0\u00a0%", "81.8\u00a0%"],
    ]


def test_a_comparison_is_that_of_fedlab_compare(runs) -> None:
    found = View(runs).comparison(["digits", "digits-slower"])
    expected = Comparison.load([runs / "digits", runs / "digits-slower"])
    assert found["tables"][0]["rows"] == expected.rows()
    for shown, group in zip(found["groups"], expected.groups, strict=True):
        rounds, estimates = curve(group, expected.metric)
        assert shown["curves"]["accuracy"]["rounds"] == rounds
        assert shown["curves"]["accuracy"]["mean"] == [e.mean for e in estimates]
        assert shown["curves"]["accuracy"]["low"] == [None] * len(rounds)


@pytest.fixture
def seeds(runs):
    """Return the folder with a setting of two seeds in a sweep, one of which is its own."""
    sweep = runs / "swept"
    members = []
    for seed, source in ((3, "digits"), (4, "digits-slower")):
        run = sweep / files.SWEEP_RUNS / f"plain-seed{seed}"
        shutil.copytree(runs / source, run)
        text = (runs / "digits" / files.SCENARIO).read_text()
        (run / files.SCENARIO).write_text(text.replace("seed = 3", f"seed = {seed}"))
        members.append({"setting": "plain", "keys": {}, "seed": seed, "run": run.name})
    members.append({"setting": "plain", "keys": {}, "seed": 5, "run": "plain-seed5"})
    (sweep / files.SWEEP).write_text(json.dumps({"scenario": "digits", "members": members}))
    return runs


def test_a_sweep_is_listed_with_what_has_begun_and_compared_over_its_seeds(seeds) -> None:
    view = View(seeds)
    listed = view.runs()
    (sweep,) = listed["sweeps"]
    assert (sweep["id"], sweep["members"], sweep["begun"], sweep["ended"]) == ("swept", 3, 2, 2)
    row = next(row for row in listed["runs"] if row["id"] == "swept/runs/plain-seed4")
    assert (row["sweep"], row["setting"], row["seed"]) == ("swept", "plain", 4)
    found = view.comparison(["swept"])
    expected = Comparison.load([seeds / "swept"])
    settings = SettingsComparison.of(expected)
    assert found["tables"][0]["rows"] == [
        [found["groups"][0]["name"], *row[1:]] for row in settings.table().rows
    ]
    _, estimates = curve(expected.groups[0], expected.metric)
    assert found["groups"][0]["curves"]["accuracy"]["high"] == [e.high for e in estimates]
    assert not any(math.isnan(e.high) for e in estimates)


def test_a_folder_may_be_a_sweep_or_a_run_itself(seeds) -> None:
    assert {row["sweep"] for row in View(seeds / "swept").runs()["runs"]} == {"."}
    assert len(View(seeds / "swept").comparison(["."])["groups"]) == 1
    assert [row["id"] for row in View(seeds / "digits").runs()["runs"]] == ["."]
    assert View(seeds / "digits").run(".")["name"] == "digits"


def test_what_differs_between_runs_is_said_by_key(runs) -> None:
    path = runs / "digits-slower" / files.SCENARIO
    path.write_text(path.read_text().replace("alpha = 0.3", "alpha = 0.9"))
    differs = View(runs).comparison(["digits", "digits-slower"])["differs"]
    keys = {row[0]: row[1:] for row in differs["rows"]}
    assert keys["data.partition.alpha"] == ["0.3", "0.9"]


def test_a_damaged_run_is_left_out_of_a_comparison_and_said_so(seeds) -> None:
    (seeds / "swept" / files.SWEEP_RUNS / "plain-seed4" / files.METRICS).write_text("{}\n")
    found = View(seeds).comparison(["digits", "swept"])
    assert any("left out" in note and "line 1" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("names", "said"),
    [([], "choose two runs"), (["digits"], "not two runs"), (["digits", "none"], "no run 'none'")],
)
def test_what_cannot_be_compared_is_one_sentence(runs, names, said) -> None:
    with pytest.raises(FedlabError, match=said) as caught:
        View(runs).comparison(names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted({files.SCENARIO, files.SUMMARY, files.METRICS}))
def test_a_damaged_run_has_a_sentence_and_leaves_the_others_alone(runs, name) -> None:
    (runs / "digits" / name).write_bytes(b'{"round": \xff\n{"x": 1}\n')
    view = View(runs)
    rows = _rows(view)
    assert rows["digits"]["state"] == "damaged"
    assert name in rows["digits"]["why"]
    assert rows["digits-slower"]["state"] == "finished"
    with pytest.raises(FedlabError, match=name):
        view.run("digits")


def test_a_run_that_has_just_begun_can_be_looked_at(tmp_path, runs) -> None:
    new = tmp_path / "new" / "begun"
    new.mkdir(parents=True)
    shutil.copy(runs / "digits" / files.SCENARIO, new)
    view = View(new.parent)
    row = view.runs()["runs"][0]
    assert (row["state"], row["round"], row["text"]) == ("unfinished", None, "")
    found = view.run("begun")
    assert (found["charts"], found["last"]) == ([], None)
    assert view.columns("begun", 0, 0)["rounds"] == []


def test_a_run_that_is_removed_while_it_is_watched_is_missed_in_a_sentence(runs) -> None:
    view = View(runs)
    view.run("digits")
    shutil.rmtree(runs / "digits")
    with pytest.raises(NotThere, match="there is no run 'digits'"):
        view.run("digits")
    assert list(_rows(view)) == ["digits-slower"]


def test_an_empty_folder_has_no_runs_and_a_missing_one_is_refused(tmp_path) -> None:
    assert View(tmp_path).runs()["runs"] == []
    with pytest.raises(FedlabError, match="there is no folder"):
        View(tmp_path / "none")


def test_links_to_other_folders_are_counted_and_not_followed(runs, tmp_path) -> None:
    outside = shutil.copytree(runs / "digits", tmp_path / "outside")
    (runs / "linked").symlink_to(outside)
    found = View(runs).runs()
    assert {row["id"] for row in found["runs"]} == {"digits", "digits-slower"}
    assert "1 link to other folders" in found["notes"][0]


def test_names_of_any_bytes_can_be_listed_and_opened(runs) -> None:
    names = [BAD.replace("/", ""), "a b&c=d?e#f%41", "ünï", os.fsdecode(b"not\xff text")]
    for name in names:
        shutil.copytree(runs / "digits", runs / name)
    view = View(runs)
    rows = _rows(view)
    assert len(rows) == 2 + len(names)
    assert all(identifier.isascii() for identifier in rows)
    for identifier in rows:
        assert view.run(identifier)["title"] == "Digits, ten clients"
    assert {row["name"] for row in rows.values()} > {names[0], names[1], names[2], "not? text"}
