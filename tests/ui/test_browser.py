"""The page in a real browser: what a user sees and does, and that the browser has no complaint."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fedlab import files

playwright = pytest.importorskip("playwright.sync_api", reason="this test needs playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NAME = "<img src=x onerror=alert(1)>"
PATIENCE = 60_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path
        path = own if Path(own).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if path is None:
            pytest.skip("there is no Chromium here: playwright install chromium")
        # Chromium's sandbox does not work for root, as in a container.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = started.chromium.launch(executable_path=path, args=options)
        yield found
        found.close()


@pytest.fixture
def page(browser) -> Iterator:
    """Return a page; at its end it must have had nothing to complain of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    made = context.new_page()
    made.complaints = []
    made.on("console", lambda m: m.type in ("error", "warning") and made.complaints.append(m.text))
    made.on("pageerror", lambda error: made.complaints.append(str(error)))
    made.on("dialog", lambda dialog: made.complaints.append(f"dialog: {dialog.message}"))
    made.on(
        "request", lambda r: made.complaints.append(r.url) if "//127.0.0.1:" not in r.url else 0
    )
    yield made
    assert made.complaints == []
    context.close()


@pytest.fixture(scope="module")
def served(finished_runs) -> Iterator[str]:
    """Return the address of the page over two finished runs."""
    with _serving(finished_runs) as address:
        yield address


class _serving:  # noqa: N801
    """`fedlab ui` over a folder, while the block lasts."""

    def __init__(self, folder: Path) -> None:
        self._words = [sys.executable, "-m", "fedlab", "ui", str(folder), "--port", "0"]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._process.stdout.readline()
        return self._process.stdout.readline().strip()

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGINT)
        _, err = self._process.communicate(timeout=30)
        assert err == ""


def _look_again(page) -> None:
    """Let the page ask at once, as where a user comes back to it."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def _no_wider_than_the_window(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_token_leaves_the_address_and_the_list_shows_the_runs(page, served) -> None:
    page.goto(served)
    page.wait_for_selector("table.runs tbody tr")
    assert "token" not in page.url
    page.go_back()
    assert "token" not in page.url
    page.go_forward()
    page.wait_for_selector("table.runs tbody tr")
    names = page.locator("table.runs tbody th a").all_inner_texts()
    assert sorted(names) == ["digits", "digits-slower"]
    assert page.locator(".badge.finished").count() == 2
    page.get_by_label("Filter runs").fill("slower")
    assert page.locator("table.runs tbody tr").count() == 1
    page.get_by_label("Filter runs").fill("")
    page.get_by_role("button", name="Run", exact=True).click()
    assert page.locator("table.runs tbody th a").all_inner_texts() == ["digits", "digits-slower"]


def test_the_slider_goes_through_the_rounds_and_their_clients(page, served, finished_runs) -> None:
    page.goto(served)
    page.get_by_role("link", name="digits", exact=True).click()
    page.wait_for_selector("#of-round .sorted tbody tr")
    lines = [
        json.loads(text)
        for text in (finished_runs / "digits/clients.jsonl").read_text().splitlines()
    ]

    def shown() -> list[str]:
        return page.locator("#of-round .sorted tbody td:first-child").all_inner_texts()

    def cohort(number: int) -> list[str]:
        return [str(c) for c in sorted({x["client"] for x in lines if x["round"] == number})]

    assert page.locator("output").inner_text() == "8 of 8"
    assert shown() == cohort(8)
    slider = page.get_by_role("slider", name="Round")
    slider.focus()
    for number in (7, 6):
        page.keyboard.press("ArrowLeft")
        page.get_by_role("heading", name=f"Round {number}", exact=True).wait_for()
        assert shown() == cohort(number)
    page.get_by_role("button", name="Round before").click()
    page.get_by_role("heading", name="Round 5", exact=True).wait_for()
    assert shown() == cohort(5)
    page.get_by_role("button", name="client", exact=False).first.click()
    assert shown() == cohort(5)[::-1]
    assert page.locator(".curves canvas").count() >= 4


def test_a_click_in_a_chart_chooses_the_round(page, served) -> None:
    page.goto(served)
    page.get_by_role("link", name="digits", exact=True).click()
    page.wait_for_selector("#of-round .sorted tbody tr")
    over = page.locator(".u-over").first
    size = over.bounding_box()
    over.click(position={"x": size["width"] * 4 / 8, "y": size["height"] / 2})
    page.get_by_role("heading", name="Round 4", exact=True).wait_for()
    page.get_by_label("Over").select_option("bytes moved")
    page.get_by_label("Logarithmic").check()
    assert page.locator(".u-legend").count() >= 4


def test_two_runs_are_compared_and_one_can_be_left_out(page, served) -> None:
    page.goto(served)
    for name in ("digits", "digits-slower"):
        page.get_by_label(f"Choose {name} to compare", exact=True).check()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.wait_for_selector(".u-legend")
    legend = page.locator(".u-legend .u-series .u-label").all_inner_texts()
    assert legend[1:] == ["rounds=8", "rounds=4"]  # what differs
    assert "–" not in page.inner_text(".u-legend")
    assert page.locator(".titled table").first.locator("tbody tr").count() == 2
    page.get_by_role("button", name="Leave out digits-slower").click()
    page.get_by_role("alert").get_by_text("choose two runs").wait_for()
    # The browser writes a line of its own for an answer that is a refusal.
    assert len(page.complaints) >= 1
    assert all("422" in text for text in page.complaints)
    page.complaints.clear()


def test_names_from_files_are_text_everywhere(page, runs) -> None:
    for name in ("digits", "digits-slower"):
        path = runs / name / files.SCENARIO
        path.write_text(path.read_text().replace("Digits, ten clients", NAME))
        if name == "digits":
            path.write_text(path.read_text().replace('"linear"', f'"{NAME}"'))
        said = json.loads((runs / name / files.PARTITION).read_text())
        clients = len(said["sizes"])
        said |= {"labels": [NAME] * len(said["labels"]), "names": [NAME] * clients}
        (runs / name / files.PARTITION).write_text(json.dumps(said))
    confusion = {"labels": [NAME, "b"], "matrix": [[8, 2], [1, 9]]}
    (runs / "digits" / files.CONFUSION).write_text(json.dumps(confusion))
    line = {"round": 8, "client": 1, "phase": NAME, "reason": NAME, "traceback": NAME}
    (runs / "digits" / files.FAILURES).write_text(json.dumps(line) + "\n")
    (runs / "digits" / files.NOTES).write_text(json.dumps({"notes": [NAME]}))
    (runs / "digits" / files.ERROR).write_text(NAME)
    (runs / "digits").rename(runs / NAME)
    with _serving(runs) as address:
        page.goto(address)
        page.get_by_role("link", name=NAME, exact=True).click()
        page.wait_for_selector("#of-round .sorted tbody tr")
        page.get_by_text("Each class").wait_for()
        for summary in page.locator("summary").all():
            summary.click()
        assert page.locator("h1").inner_text() == NAME
        assert page.locator("img").count() == 0
        base = page.url.split("#")[0]
        identifiers = "&".join(f"id={quote(quote(name), safe='')}" for name in os.listdir(runs))
        page.goto(f"{base}#/compare?{identifiers}")
        page.wait_for_selector(".u-legend")
        assert NAME in page.inner_text(".u-legend")
        assert NAME in page.inner_text("ul.chosen")
        assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_view_is_wider_than_its_window(page, served, width, scheme) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(served)
    page.wait_for_selector("table.runs tbody tr")
    assert _no_wider_than_the_window(page)
    base = page.url.split("#")[0]
    page.goto(f"{base}#/run?id=digits")
    page.wait_for_selector("#of-round .sorted tbody tr")
    page.wait_for_selector(".heat canvas")
    assert _no_wider_than_the_window(page)
    page.goto(f"{base}#/compare?id=digits&id=digits-slower")
    page.wait_for_selector(".u-legend")
    assert _no_wider_than_the_window(page)


def test_a_folder_without_runs_and_a_run_that_goes_are_said_in_words(page, tmp_path, runs) -> None:
    with _serving(runs) as address:
        page.goto(address)
        page.get_by_role("link", name="digits", exact=True).click()
        page.wait_for_selector("#of-round .sorted tbody tr")
        shutil.rmtree(runs / "digits")
        _look_again(page)
        page.get_by_role("alert").get_by_text("there is no run 'digits'").wait_for()
        assert page.locator("h1").inner_text() == "Digits, ten clients"
        page.get_by_role("link", name="Runs", exact=True).first.click()
        page.wait_for_selector("table.runs tbody tr")
        assert page.get_by_role("alert").count() == 0
        shutil.rmtree(runs / "digits-slower")
        _look_again(page)
        page.get_by_text("There is no run in this folder yet").wait_for()
    _look_again(page)
    page.get_by_role("alert").get_by_text("does not answer").wait_for()
    assert all("404" in text or "ERR_CONNECTION_REFUSED" in text for text in page.complaints)
    page.complaints.clear()


SCENARIO = """title = "Growing"
rounds = 2000
[data]
name = "iris"
[data.partition]
name = "iid"
clients = 3
[model]
name = "linear"
[client]
epochs = 1
[engine]
name = "inline"
[evaluation]
federated = true
"""


@pytest.mark.slow
def test_a_run_grows_on_the_page_while_it_goes_on_and_ends_there(page, tmp_path) -> None:
    (tmp_path / "growing.toml").write_text(SCENARIO)
    runs = tmp_path / "runs"
    runs.mkdir()
    path = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    with _serving(runs) as address:
        page.goto(address)
        page.get_by_text("There is no run in this folder yet").wait_for()
        run = subprocess.Popen(
            [sys.executable, "-m", "fedlab", "run", "growing.toml"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
        )
        try:
            page.wait_for_selector(".badge.running")
            page.get_by_role("link", name=re.compile("^growing-")).click()
            page.wait_for_selector(".state .badge.running")
            reached = []
            for _ in range(3):
                after = reached[-1] if reached else 0
                page.wait_for_function(
                    "after => parseInt(document.querySelector('output').textContent) > after",
                    arg=after,
                )
                reached.append(int(page.locator("output").inner_text().split()[0]))
                label = page.locator(".chart").first.get_attribute("aria-label")
                assert "test set: from" in label
            assert reached == sorted(set(reached))
            # A round that was chosen stays while others come.
            page.get_by_role("slider", name="Round").focus()
            page.keyboard.press("Home")
            page.get_by_role("heading", name="Round 0", exact=True).wait_for()
            time.sleep(4)
            assert page.locator("output").inner_text().startswith("0 of ")
            assert int(page.locator("output").inner_text().split()[2]) > reached[-1]
            run.send_signal(signal.SIGINT)
            page.wait_for_selector(".state .badge.stopped")
        finally:
            if run.poll() is None:
                run.send_signal(signal.SIGINT)
            run.wait(timeout=60)
