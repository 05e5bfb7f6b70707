"""``fedlab show`` and ``fedlab list``: parts by name, their papers and their keys."""

from __future__ import annotations

import re

import pytest

from fedlab import registry


def rows(out: str) -> dict[str, list[str]]:
    """Return the cells of a printed table's rows, by the first one."""
    split = (re.split(r"\s{2,}", line.strip()) for line in out.splitlines())
    return {cells[0]: cells[1:] for cells in split if len(cells) > 1}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_a_strategys_keys_have_type_range_default_and_meaning(typed) -> None:
    shown = typed("show", "strategy", "fedadam")
    assert shown.code == 0
    assert "Reddi et al. 2021" in shown.out.splitlines()[0]
    keys = rows(shown.out)
    assert keys["beta_1"] == ["number ≥ 0 < 1", "0.9", "decay of the first moment"]
    assert keys["fraction_train"][:2] == ["number > 0 ≤ 1", "1.0"]


def test_a_clients_tables_are_shown_key_by_key(typed) -> None:
    keys = rows(typed("show", "client", "fedprox").out)
    assert keys["optimizer.lr"][:2] == ["number ≥ 0", "0.05"]
    assert keys["optimizer.lr"][2].startswith("learning rate")
    assert keys["batch_size"][:2] == ["whole number ≥ 1 or 'auto'", "32"]


def test_a_scenario_is_shown_as_before(typed) -> None:
    shown = typed("show", "scenario.toml", "--set=client.batch_size=5")
    assert shown.code == 0
    assert re.search(r"client\.batch_size\W+5\W+--set", shown.out)


def test_phases_are_shown_key_by_key_with_what_they_change(typed) -> None:
    shown = typed("show", "quickstart").out
    assert "phases.0.client.epochs" in shown
    assert "phases.1.client.optimizer.lr" in shown
    assert "phases.0.client.batch_size" not in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("strategy", "fedadm"), "unknown strategy 'fedadm'. Did you mean 'fedadam'?"),
        (("strateg", "fedadam"), "unknown kind 'strateg'. Did you mean 'strategy'?"),
        (("strategy", "fedadam", "--toml"), "go with a scenario"),
    ],
)
def test_what_cannot_be_shown_is_refused(refused, words: tuple[str, ...], sentence: str) -> None:
    (told,) = refused("show", *words)
    assert sentence in told


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("strategy", registry.strategies.names()),
        ("client", registry.clients.names()),
        ("attack", registry.attacks.names()),
    ],
)
def test_every_key_of_an_algorithm_has_type_default_and_meaning(
    typed, kind: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for name in names:
        shown = typed("show", kind, name)
        assert shown.code == 0
        assert re.search(r"\((.* )?(19|20)\d\d\b.*\)", shown.out.splitlines()[0]), name
        table = shown.out[shown.out.index("\nkey ") :].splitlines()[2:]
        cells = [re.split(r"\s{2,}", line.strip()) for line in table if line.strip()]
        assert cells
        assert [row for row in cells if len(row) != 4] == [], name


@pytest.mark.parametrize("kind", ["strategies", "clients", "attacks"])
def test_every_algorithm_is_listed_with_its_paper(typed, kind: str) -> None:
    listed = typed("list", kind).out
    known = getattr(registry, kind)
    for name in known.names():
        (line,) = (line for line in listed.splitlines() if line.split(" ")[0] == name)
        assert re.search(r"\((.* )?(19|20)\d\d\b.*\)", line), line


def test_backbones_are_listed_by_the_name_that_a_scenario_takes(typed) -> None:
    listed = typed("list", "backbones")
    assert listed.code == 0
    line = next(line for line in listed.out.splitlines() if "dinov2-small" in line)
    for word in ("vit_small_patch14_dinov2", "22.1 M", "88 MB", "14×n", "MIT"):
        assert word in line
    assert "fedlab assets get dinov2-small" in line  # the cache of this test is empty
    shown = typed("show", "quickstart", "--set", "model.name=DINOv2-small", "--toml")
    assert 'name = "vit_small_patch14_dinov2"' in shown.out


def test_a_list_is_narrowed_by_a_part_of_a_name(typed, refused) -> None:
    listed = typed("list", "strategies", "fedav")
    names = [line.split()[0] for line in listed.out.splitlines()[1:]]
    assert {"fedavg", "fedavgm"} <= set(names)
    assert "krum" not in names
    assert refused("list", "strategies", "qqq") == ["none of `fedlab list strategies` fits 'qqq'"]


def test_the_devices_of_this_machine_are_listed(typed, refused) -> None:
    listed = typed("list", "devices").out.splitlines()
    assert listed[0].split()[0] == "device"
    assert listed[1].split()[0] == "cpu"
    assert "float32" in listed[1]
    assert refused("list", "devices", "qqq") == ["none of `fedlab list devices` fits 'qqq'"]
