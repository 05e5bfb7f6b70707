"""``fedlab unlearn`` with words that are wrong: a sentence each, and exit code 2."""

from __future__ import annotations

import pytest

WRONG = {
    "--client 7": "--client 7: the clients are 0 to 2",
    "--client 0 --client 1 --client 2": "--client: these are all clients, and nobody would be left",
    "--client 1 --method erase": "unknown unlearning method 'erase'. Did you mean 'federaser'?",
    "--client 1 --set federaser.interval=0": "--set federaser.interval: it must be at least 1",
    "--client 1 --set federaser.steps=3": "--set federaser.steps: there is no such key",
    "--client 1 --set erase.steps=3": "--set erase: unknown unlearning method 'erase'",
    "--client 1 --set projected-ascent.lr=fast": "--set projected-ascent.lr: a number belongs here",
    "--client 1 -o runs": "runs is there already",
}


@pytest.fixture
def trained(desk, typed):
    assert typed("run", "scenario.toml", "--runs", "runs").code == 0
    (path,) = (desk / "runs").iterdir()
    return path


def test_wrong_words_are_told_in_a_sentence(trained, typed) -> None:
    for words, sentence in WRONG.items():
        outcome = typed("unlearn", trained, *words.split())
        assert outcome.code == 2, words
        assert len(outcome.errors) == 1
        assert sentence in outcome.errors[0]
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


def test_a_client_that_never_took_part_is_told(desk, typed) -> None:
    run = ("run", "scenario.toml", "--runs", "runs", "--set", "strategy.fraction_train=0.34")
    assert typed(*run).code == 0
    (path,) = (desk / "runs").iterdir()
    outcomes = [typed("unlearn", path, "--client", number) for number in "012"]
    told = [outcome for outcome in outcomes if outcome.code == 2]
    assert told
    for outcome in told:
        assert "it has trained in no round of" in outcome.errors[0]


def test_a_run_makes_models_that_evaluate_takes(trained, typed) -> None:
    outcome = typed("unlearn", trained, "--client", "1", "--method", "fine-tuning")
    assert outcome.code == 0
    assert "What the models know without client 1" in outcome.out
    made = trained.with_name(f"{trained.name}-without-1") / "fine-tuning"
    evaluated = typed("evaluate", made, "--json")
    assert evaluated.code == 0
    assert '"accuracy"' in evaluated.out
    listed = typed("list", "unlearning")
    assert all(name in listed.out for name in ("federaser", "projected-ascent", "retrain"))
