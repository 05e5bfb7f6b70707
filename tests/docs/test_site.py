"""The site builds without a warning, holds every page, and asks no other host for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import fedlab

pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
pytest.importorskip("material", reason="the extra 'docs' is not installed")
pytestmark = pytest.mark.slow
ROOT = Path(fedlab.__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads, and its text outside of code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text = ""
        self._in_code = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.loaded.append(named.get("src") or "")
        if tag == "link" and named.get("rel") != "canonical":
            self.loaded.append(named.get("href") or "")
        self._in_code += tag in ("code", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag in ("code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._in_code:
            self.text += data


def test_every_page_and_notebook_is_on_the_site(site: Path) -> None:
    docs = ROOT / "docs"
    wanted = [path.relative_to(docs).with_suffix("") for path in docs.rglob("*.md")]
    wanted += [path.relative_to(docs).with_suffix("") for path in docs.rglob("*.ipynb")]
    wanted += [Path(name) for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]
    built = [site / ("" if path.name == "index" else path) / "index.html" for path in wanted]
    assert [str(path) for path in built if not path.exists()] == []


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        for address in Page(path).loaded:
            assert not urlsplit(address).netloc, f"{path}: {address}"


def test_what_a_page_loads_is_there(site: Path) -> None:
    for path in site.rglob("index.html"):
        for address in filter(None, Page(path).loaded):
            found = unquote(urlsplit(address).path)
            if not address.startswith("data:") and not found.startswith("/"):
                assert (path.parent / found).exists(), f"{path}: {address}"


def test_lists_tables_and_code_are_no_running_text(site: Path) -> None:
    for path in site.rglob("index.html"):
        text = Page(path).text
        assert "```" not in text, path
        assert not re.search(r"^(\| |- \w)", text, re.MULTILINE), path


def test_search_finds_a_key_a_command_and_a_notebook(site: Path) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    for word, page in (
        ("proximal_mu", "scenarios/"),
        ("fedlab deploy init", "federations/"),
        ("dashboard", "tutorials/5-laptop-to-cluster/"),
    ):
        found = [entry["location"] for entry in entries if word in entry["text"]]
        assert any(location.startswith(page) for location in found), word


def test_files_of_code_blocks_are_titles(site: Path) -> None:
    page = (site / "writing-a-strategy" / "index.html").read_text()
    assert '<span class="filename">fedcm.py</span>' in page


def test_each_algorithm_has_its_page_in_the_navigation(site: Path) -> None:
    assert (site / "algorithms" / "scaffold" / "index.html").exists()
    index = (site / "algorithms" / "index.html").read_text()
    assert 'href="scaffold/"' in index
    assert "Algorithms" in (site / "index.html").read_text()
