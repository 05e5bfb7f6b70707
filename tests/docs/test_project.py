"""What the project says of itself is one thing in every file that says it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import fedlab

ROOT = Path(fedlab.__file__).parent.parent
PAGES = ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY", "CODE_OF_CONDUCT"]


def project() -> dict[str, Any]:
    """Return pyproject's table of the project."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version_licence_and_subject() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == project()["version"] == fedlab.__version__
    assert cited["license"] == project()["license"]
    assert cited["keywords"] == project()["keywords"]
    assert cited["authors"] == project()["authors"]
    assert cited["message"]
    assert cited["title"].startswith("fedlab")


def test_classifiers_name_the_platforms_and_pythons_that_the_page_calls_supported() -> None:
    page = (ROOT / "docs" / "platforms.md").read_text()
    supported = set(re.findall(r"^\| ([\w.]+) \| supported", page, re.MULTILINE))
    named = [line.split(" :: ") for line in project()["classifiers"]]
    systems = {parts[-1] for parts in named if parts[0] == "Operating System"}
    pythons = {parts[-1] for parts in named if re.fullmatch(r"3\.\d+", parts[-1])}
    assert systems | pythons == supported
    assert project()["requires-python"] == f">={min(pythons)}"


def test_every_extra_is_on_the_page_on_installation() -> None:
    page = (ROOT / "docs" / "platforms.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`([\w-]+)`", "".join(rows))) == set(project()["optional-dependencies"])


@pytest.mark.parametrize("page", PAGES)
def test_files_that_the_projects_pages_point_to_exist(page: str) -> None:
    text = (ROOT / f"{page}.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert links or page == "CODE_OF_CONDUCT"
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING", "README"])
def test_targets_of_make_that_pages_name_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = (ROOT / f"{page}.md").read_text()
    named = re.findall(r"(?:`|^)make\s([a-z -]+?)(?:`|  |$)", text, re.MULTILINE)
    assert named
    assert {word for words in named for word in words.split()} <= targets


def test_hooks_before_a_commit_are_local_and_use_tools_that_the_tests_install() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    tools = [hook["entry"].split()[0] for hook in repository["hooks"]]
    assert {Path(tool).parent for tool in tools} == {Path(".venv/bin")}
    names = {"ruff": "ruff", "lint-imports": "import-linter"}
    installed = " ".join(project()["optional-dependencies"]["test"])
    assert all(names[Path(tool).name] in installed for tool in tools)


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_forms_of_issues_ask_for_something(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    if form.stem == "config":
        assert isinstance(content["blank_issues_enabled"], bool)
        return
    asked = [part for part in content["body"] if part["type"] != "markdown"]
    assert content["name"]
    assert content["description"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert any(part.get("validations", {}).get("required") for part in asked)
