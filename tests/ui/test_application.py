from __future__ import annotations

import re
from importlib.resources import files as resources

import pytest

from fedlab import files
from fedlab.results.drawing.style import PALETTE
from fedlab.ui.application import PAGE


def test_an_answer_that_is_known_is_not_sent_again(visit, runs) -> None:
    client = visit(runs)
    first = client.get("/api/runs")
    again = client.get("/api/runs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    with (runs / "digits" / files.METRICS).open("a") as file:
        file.write('{"round": 9, "test": {"accuracy": 0.5}}\n')
    changed = client.get("/api/runs", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../digits-slower",
        "../../etc",
        "/etc",
        "digits/../digits",
        "digits/",
        "digits/checkpoints",
        "%2e%2e/runs",
        "",
        "digits\x00",
        "none",
    ],
)
def test_only_names_of_runs_that_were_found_lead_to_a_run(visit, runs, name) -> None:
    client = visit(runs)
    for question in ("run", "columns", "round", "partition", "compare"):
        answer = client.get(f"/api/{question}", params={"run": name})
        assert answer.status_code == 404
        assert "there is no run" in answer.json()["error"]
    assert client.get("/file", params={"run": name, "name": "task.json"}).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "../digits-slower/task.json",
        "/etc/passwd",
        "plots/../task.json",
        "plots/../../secret.png",
        "model.safetensors",
        ".lock",
        "checkpoints",
        "",
    ],
)
def test_only_files_of_a_run_folder_that_are_listed_are_shown(visit, runs, name) -> None:
    (runs / "secret.png").write_bytes(b"secret")
    answer = visit(runs).get("/file", params={"run": "digits", "name": name})
    assert answer.status_code == 422
    assert "secret" not in answer.text


def test_a_link_in_a_run_folder_is_not_followed(visit, runs, tmp_path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": 1}')
    (runs / "digits" / files.NOTES).symlink_to(secret)
    client = visit(runs)
    rows = {row["name"]: row for row in client.get("/api/runs").json()["runs"]}
    assert rows["digits"]["state"] == "damaged"
    assert rows["digits-slower"]["state"] == "finished"
    for answer in (
        client.get("/api/run", params={"run": "digits"}),
        client.get("/file", params={"run": "digits", "name": files.NOTES}),
    ):
        assert answer.status_code == 422
        assert "link" in answer.text
        assert '"secret"' not in answer.text


def test_a_report_is_shown_without_its_scripts(visit, runs) -> None:
    (runs / "digits" / files.REPORT).write_text("<script>alert(1)</script>")
    answer = visit(runs).get("/file", params={"run": "digits", "name": files.REPORT})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_other_files_are_plain_text(visit, runs) -> None:
    answer = visit(runs).get("/file", params={"run": "digits", "name": files.SCENARIO})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == (runs / "digits" / files.SCENARIO).read_text()


@pytest.mark.parametrize("number", ["-1", "x", "1e3", "9" * 13])
def test_a_number_that_is_none_is_refused_in_a_sentence(visit, runs, number) -> None:
    answer = visit(runs).get("/api/round", params={"run": "digits", "round": number})
    assert answer.status_code == 422
    assert answer.json()["error"] == "round: a whole number belongs here"


def test_a_fault_is_one_sentence_here_and_there(visit, runs, monkeypatch, capsys) -> None:
    client = visit(runs)

    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("fedlab.ui.view.overview", broken)
    answer = client.get("/api/run", params={"run": "digits"})
    assert answer.status_code == 500
    assert answer.json()["error"] == "this is a fault of fedlab: RuntimeError: two lines"
    assert capsys.readouterr().err.count("\n") == 1


def test_every_file_of_the_page_is_served_and_all_it_needs_is_among_them(visit, runs) -> None:
    client = visit(runs)
    texts = {name: client.get(f"/{name}").text for name in PAGE}
    wanted = {
        reference.removeprefix("./").removeprefix("/")
        for name, text in texts.items()
        if not name.startswith("uplot/")
        for reference in re.findall(r'(?:from|src=|href=) ?"(\.?/[^"#]+)"', text)
    }
    assert wanted
    assert wanted <= set(PAGE)
    folder = resources("fedlab.ui").joinpath("page")
    assert {each.name for each in folder.iterdir() if each.is_file()} <= set(PAGE)
    assert "Leon Sorokin" in texts["uplot/LICENSE"]


def test_the_page_writes_names_as_text_and_asks_no_other_host() -> None:
    for name in PAGE:
        if name.startswith("uplot/"):
            continue
        text = resources("fedlab.ui").joinpath("page", name).read_text()
        for risk in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert risk not in text, (name, risk)
        outside = re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert not outside, name


def test_colours_are_those_of_the_report() -> None:
    style = resources("fedlab.ui").joinpath("page", "style.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)")[:2]
    used = set(re.findall(r"--plot-([\w-]+):", light))
    assert {"federated", "worst", "local", "centralised"} <= used
    for role in used:
        assert f"--plot-{role}: {PALETTE[role][0]};" in light
        assert f"--plot-{role}: {PALETTE[role][1]};" in dark
