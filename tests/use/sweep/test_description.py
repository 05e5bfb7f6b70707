"""A sweep's file and options: what they mean, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from fedlab.errors import FedlabError
from fedlab.results.run_groups import words_for
from fedlab.scenario.overrides import overlay
from fedlab.use.sweep.description import load_sweep
from fedlab.use.sweep.members import SweepFolder
from fedlab.use.sweep.options import search_of, split_values
from fedlab.use.sweep.points import folder_name, points_of
from fedlab.use.sweep.values import as_override

SWEEP = """scenario = "own.toml"
seeds = [3, 5]
set.client.epochs = 2
[grid]
client.optimizer.lr = [0.1, 0.5]
"strategy.name" = ["fedavg", "fedadam"]
[[setting]]
name = "plain"
[[setting]]
name = "proximal"
keys = {client.name = "fedprox", "client.mu" = 0.1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "own.toml").write_text("rounds = 1")
    path = tmp_path / "sweep.toml"
    path.write_text(SWEEP)
    return path


def test_a_file_describes_all_combinations(file: Path) -> None:
    sweep, name = load_sweep(str(file))
    assert name == "sweep"
    assert Path(sweep.scenario) == file.parent / "own.toml"
    assert sweep.set == {"client.epochs": 2}
    points = points_of(sweep)
    assert len(points) == 2 * 2 * 2
    assert points[0].name == "plain, lr=0.1, fedavg"
    assert points[-1].keys == {
        **{"client.name": "fedprox", "client.mu": 0.1},
        **{"client.optimizer.lr": 0.5, "strategy.name": "fedadam"},
    }
    assert points[-1].overrides[1] == "client.mu=0.1"


def test_a_setting_may_have_a_scenario_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'scenario = "fedavg"\nsetting = [{name = "a"}, {name = "b", scenario = "fedprox"}, '
        '{name = "c", scenario = "c.toml"}]\n'
    )
    points = points_of(load_sweep(str(path))[0])
    assert [p.scenario for p in points] == [None, "fedprox", str(tmp_path / "c.toml")]


def test_options_are_laid_on_a_file_and_make_a_sweep_of_a_scenario(file: Path) -> None:
    sweep, _ = load_sweep(str(file), ["client.optimizer.lr=1"], 4, ["rounds=7"])
    assert sweep.seeds == 4
    assert [p.name for p in points_of(sweep)][:2] == ["plain, lr=1, fedavg", "plain, lr=1, fedadam"]
    assert overlay(as_override(k, v) for k, v in sweep.set.items()) == {
        "client": {"epochs": 2},
        "rounds": 7,
    }
    alone, name = load_sweep("quickstart", seeds=3)
    assert (name, [p.name for p in points_of(alone)]) == ("quickstart", ["scenario"])


@pytest.mark.parametrize(
    "value", [3, 0.25, True, "word", "0.1", [1, 2], {"name": "iid", "clients": 3}, 'a "b"']
)
def test_a_value_survives_as_an_override(value: Any) -> None:
    assert overlay([as_override("a.b", value)]) == {"a": {"b": value}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [("1,2", ["1", "2"]), ("[1,2],[3]", ["[1,2]", "[3]"]), ("'a,b',c", ["'a,b'", "c"])],
)
def test_commas_in_lists_and_quotes_part_nothing(text: str, parts: list[str]) -> None:
    assert split_values(text) == parts


def test_draws_at_random_stay_within_their_ranges_and_come_again() -> None:
    search = search_of(
        ["client.optimizer.lr=0.001:1:log", "client.epochs=1:3", "strategy.name=fedavg|fedadam"],
        *(40, "random", "none"),
    )
    sweep, _ = load_sweep("quickstart", search=search)
    points = points_of(sweep)
    assert points == points_of(sweep)
    rates = [p.keys["client.optimizer.lr"] for p in points]
    assert all(0.001 <= rate <= 1 for rate in rates)
    assert 8 <= sum(rate < 0.03 for rate in rates) <= 32
    assert {p.keys["client.epochs"] for p in points} == {1, 2, 3}
    assert {p.keys["strategy.name"] for p in points} == {"fedavg", "fedadam"}


def test_the_guides_files_are_sweeps(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    found = []
    for place, block in enumerate(blocks):
        path = tmp_path / f"{place}.toml"
        path.write_text(block)
        found.append(load_sweep(str(path))[0])
    settings, searched = found
    assert [p.name for p in points_of(settings)] == ["FedAvg", "FedProx", "FedAdam"]
    assert searched.search is not None
    assert searched.search.space.keys() == {
        *("client.optimizer.lr", "client.epochs", "client.optimizer.nesterov"),
    }
    for point in points_of(settings):
        SweepFolder(tmp_path, settings, is_inline=True).add([point])


def test_options_of_a_search_are_laid_on_the_files(tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    path.write_text(
        'scenario = "quickstart"\n[search]\ntrials = 4\nsampler = "random"\n'
        "[search.space]\nclient.epochs = {low = 1, high = 9}\n"
    )
    found = load_sweep(str(path), search=search_of([], trials=7))[0].search
    assert found is not None
    assert (found.trials, found.sampler, list(found.space)) == (7, "random", ["client.epochs"])
    assert search_of([]) == {}


def test_all_settings_have_the_seeds_of_the_sweeps_scenario(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('extends = "fedavg"\nseed = 3\n')
    path = tmp_path / "sweep.toml"
    path.write_text(
        'scenario = "own.toml"\nseeds = 2\n'
        'setting = [{name = "a", scenario = "fedprox"}, {name = "b"}]\n'
    )
    sweep = load_sweep(str(path))[0]
    members = SweepFolder(tmp_path, sweep, is_inline=True).add(points_of(sweep))
    assert [(m.point.name, m.seed) for m in members] == [("a", 3), ("b", 3), ("a", 4), ("b", 4)]


REFUSED = {
    "seeds as settings": ({"grid": ["seed=1,2"]}, "seed is no setting: 'seeds'"),
    "seeds that are drawn": ({"search": search_of(["seed=1:9"])}, "seed is no setting"),
    "options of a search without one": ({"search": search_of([], trials=5)}, "--trials is of a"),
    "no values": ({"grid": ["a.b="]}, r"--grid a\.b=: write it as"),
    "no key": ({"grid": ["=3"]}, "--grid =3: write it as"),
    "seeds": ({"seeds": 0}, "seeds: give 1 to 1000"),
    "a range upside down": (
        {"search": search_of(["a.b=3:1"], 5, "tpe", "none")},
        "low must be below high",
    ),
    "a logarithm of nothing": (
        {"search": search_of(["a.b=0:1:log"], 5, "tpe", "none")},
        "with log = true low must be above 0",
    ),
    "a sampler that nobody knows": (
        {"search": search_of(["a.b=0:1"], 5, "grid", "none")},
        r"search\.sampler",
    ),
    "a pruner without Optuna": (
        {"search": search_of(["a.b=0:1"], 5, "random", "median")},
        "a pruner needs one of Optuna's samplers",
    ),
    "a grid and a search": (
        {"grid": ["a.b=1"], "search": search_of(["a.b=0:1"], 5, "tpe", "none")},
        "leave out grid and setting",
    ),
}


@pytest.mark.parametrize(("keys", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sweep_is_refused(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(FedlabError, match=reason):
        load_sweep("quickstart", **keys)


@pytest.mark.parametrize("text", ["a.b", "a.b=1", "a.b=1:2:lin", "=1:2", "a.b=x:y"])
def test_a_search_that_is_not_written_as_one_is_refused(text: str) -> None:
    with pytest.raises(FedlabError, match=r"--search .*: write it as"):
        search_of([text], 5, "tpe", "none")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("seeds = [1, 1]", "each seed once"),
        ("sedes = 3", "sedes"),
        ("seeds = [1, 2]\nset.seed = 5", "set.seed and a list of seeds"),
        ('setting = [{name = "a", keys = {seed = 1}}]', "seed is no setting"),
        ("grid = {a = []}", "needs at least one value"),
        ('setting = [{name = "a"}, {name = "a"}]', "each name once"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(f'scenario = "quickstart"\n{line}\n')
    with pytest.raises(FedlabError, match=rf"wrong\.toml.*{reason}"):
        load_sweep(str(path))


def test_names_are_short_and_folders_plain() -> None:
    words = words_for({"a.lr": 0.1, "b.lr": 1, "model.pretrained": True})
    assert ", ".join(words) == "a.lr=0.1, b.lr=1, pretrained=true"
    assert folder_name("FedProx, µ=0.1/α", 3) == "FedProx-=0.1-seed3"
    first, second = (folder_name("x" * 90 + end, 3) for end in "ab")
    assert first != second
    assert len(first) < 100


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('grid = {"client.epochs" = [1, 2, 1]}', "'epochs=1' is among the settings twice"),
        ('setting = [{name = "A B"}, {name = "A-B"}]', "'A B' and 'A-B' would have one folder"),
    ],
)
def test_settings_that_are_the_same_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "twice.toml"
    path.write_text(f'scenario = "quickstart"\n{text}\n')
    with pytest.raises(FedlabError, match=reason):
        points_of(load_sweep(str(path))[0])


def test_what_is_drawn_twice_is_run_once() -> None:
    search = search_of(["client.epochs=1|2"], 30, "random", "none")
    points = points_of(load_sweep("quickstart", search=search)[0])
    assert sorted(point.name for point in points) == ["epochs=1", "epochs=2"]
