"""Each algorithm has a page with what its code, its keys and its scenarios say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedlab.registry import KINDS
from fedlab.scenario import built_in
from fedlab.scenario.algorithm_pages import ALGORITHMS, algorithms, groups, pages


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


def test_every_registered_algorithm_has_one_page_and_one_line_in_the_index(written) -> None:
    index = re.findall(r"^\| \[([^]]+)\]\(([^)]+)\)", written["index.md"], re.MULTILINE)
    names = {n for kind in KINDS if kind.plural in ALGORITHMS for n in kind.registry.names()}
    assert {name for name, _ in index} == names
    assert sorted(file for _, file in index) == sorted(set(written) - {"index.md"})
    assert sum(map(len, groups(algorithms()).values())) == len(names)


def test_a_page_has_paper_equations_keys_and_the_figure_that_its_scenario_reached(written) -> None:
    page = written["scaffold.md"]
    assert "Karimireddy et al. 2020" in page
    assert "\n    x ← x + η_g/|S| Σ Δyᵢ\n" in page
    assert "| `server_learning_rate` | number > 0 | `1.0` | η_g |" in page
    assert "Its clients are `scaffold`. Only sums of updates reach it." in page
    assert "fedlab run scaffold" in page
    figure = re.search(r"\d\.\d+ after forty rounds", built_in()["scaffold"].read_text())
    assert figure
    assert figure[0] in page


def test_limits_are_those_of_the_strategys_traits(written) -> None:
    assert "a cohort of 2 f + 3 or more. Each update reaches it." in written["krum.md"]
    assert "It needs public examples" in written["feddf.md"]


def test_every_table_of_keys_has_four_columns_in_each_row(written) -> None:
    for name, page in written.items():
        for line in page.splitlines():
            if line.startswith("| `"):
                assert len(re.findall(r"(?<!\\)\|", line)) == 5, f"{name}: {line}"


def test_scenarios_that_pages_name_are_built_in(written) -> None:
    named = {name for page in written.values() for name in re.findall(r"fedlab run (\S+)", page)}
    assert named <= set(built_in())
    assert len(named) > 80


def test_files_have_names_that_any_address_can_hold(written) -> None:
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*\.md", Path(name).name) for name in written)
