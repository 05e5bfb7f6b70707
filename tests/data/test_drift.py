"""Shifts that begin, grow and end with the rounds."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlab.data.federation import Federation
from fedlab.errors import FedlabError
from fedlab.run.execution import run
from fedlab.run.folder import RunFolder
from fedlab.run.simulation import Simulation, assemble
from fedlab.scenario import Scenario
from fedlab.scenario.parts import load_federation
from tests.shared import Changes, scenario_with
from tests.stopping import StopAfter

QUARTER: dict[str, Any] = {"name": "rotation", "strengths": [0, 90]}
GREY: dict[str, Any] = {"name": "contrast", "strengths": [0.2]}
NEXT: dict[str, Any] = {"name": "labels", "strengths": [1.0], "clients": [1]}


def base(*tables: dict[str, Any]) -> dict[str, Any]:
    return {
        "rounds": 6,
        "data": {"shift": list(tables), "train_examples": 90, "partition": {"clients": 3}},
        "evaluation": {"test_examples": 40},
    }


def scenario(*tables: dict[str, Any], **changes: Any) -> Scenario:
    return scenario_with(base(*tables), changes)


def federation(*tables: dict[str, Any]) -> Federation:
    return load_federation(scenario(*tables))


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"first_round": 3}, [0, 0, 0, 1, 1, 1, 1]),
        ({"last_round": 2}, [0, 1, 1, 0, 0, 0, 0]),
        ({"first_round": 2, "last_round": 4}, [0, 0, 1, 1, 1, 0, 0]),
        ({"first_round": 2, "growing_rounds": 4}, [0, 0, 0.25, 0.5, 0.75, 1, 1]),
        ({"growing_rounds": 2, "last_round": 5}, [0, 0.5, 1, 1, 1, 1, 0]),
    ],
)
def test_a_shift_begins_grows_and_ends(keys: dict[str, int], wanted: list[float]) -> None:
    (table,) = scenario({**QUARTER, **keys}).data.shift
    assert [table.progress(r) for r in range(7)] == wanted


def test_pictures_are_as_stored_before_and_shifted_from_its_first_round_on() -> None:
    plain, found = federation(), federation({**QUARTER, "first_round": 3})
    for client, turns in ((0, 0), (1, 1), (2, 0)):
        stored = plain.examples(client)
        for number, by in ((2, 0), (3, turns), (6, turns)):
            for part, own in zip(found.examples_in(client, number), stored, strict=True):
                assert torch.equal(part.inputs, torch.rot90(own.inputs, by, (2, 3)))
                assert torch.equal(part.targets, own.targets)
    tested = found.evaluation_examples_in(1, 4).inputs
    assert torch.equal(tested, torch.rot90(plain.evaluation_examples(1).inputs, 1, (2, 3)))


def test_the_test_set_is_that_of_the_round_and_its_domains() -> None:
    plain, found = federation(), federation({**QUARTER, "first_round": 3, "last_round": 4})
    groups = found.dataset.test.groups
    assert found.dataset.test.group_names == (
        "rotation 0° from round 3 to 4", "rotation 90° from round 3 to 4",
    )  # fmt: skip
    assert groups is not None
    assert np.bincount(groups).tolist() == [20, 20]
    stored = plain.dataset.test.inputs
    turned = stored.clone()
    turned[groups == 1] = torch.rot90(stored[groups == 1], 1, (2, 3))
    for number, wanted in ((2, stored), (3, turned), (4, turned), (5, stored)):
        both = [found.test_in(start, start + 20, number).inputs for start in (0, 20)]
        assert torch.equal(torch.cat(both), wanted)


def test_a_growing_shift_has_part_of_its_strength_counted_from_what_changes_nothing() -> None:
    plain, found = federation(), federation({**GREY, "growing_rounds": 4})
    stored = plain.examples(0)[0].inputs.float() / 255
    mean = stored.mean((1, 2, 3), keepdim=True)
    for number in range(1, 5):
        wanted = mean + (1 - 0.2 * number) * (stored - mean)
        inputs = found.examples_in(0, number)[0].inputs.float() / 255
        assert torch.allclose(inputs, wanted, atol=0.51 / 255)


def test_noise_that_grows_is_the_same_noise() -> None:
    found = federation({"name": "noise", "strengths": [0.2], "growing_rounds": 2})
    stored, half, whole = (found.examples_in(0, r)[0].inputs.float() for r in range(3))
    inside = (whole > 0) & (whole < 255)
    # Three roundings to whole numbers.
    assert ((whole - stored) - 2 * (half - stored))[inside].abs().max() <= 1.5
    again = pickle.loads(pickle.dumps(found)).examples_in(0, 2)[0].inputs
    assert torch.equal(again.float(), whole)


def test_constant_shifts_come_first_and_are_made_at_once() -> None:
    first = {"name": "rotation", "strengths": [180]}
    plain, found = federation(), federation(first, {**QUARTER, "first_round": 2})
    stored = plain.examples(1)[0].inputs
    assert torch.equal(found.examples(1)[0].inputs, torch.rot90(stored, 2, (2, 3)))
    assert torch.equal(found.examples_in(1, 2)[0].inputs, torch.rot90(stored, 3, (2, 3)))
    assert federation(first).drift is None


def test_labels_become_those_of_the_next_class() -> None:
    plain = federation()
    for table, number in ((NEXT, 0), ({**NEXT, "first_round": 3}, 3)):
        found = federation(table)
        for client in range(3):
            stored, own = plain.examples(client)[0], found.examples_in(client, number)[0]
            assert torch.equal(own.targets, (stored.targets + (client == 1)) % 10)
            assert torch.equal(own.inputs, stored.inputs)


def test_whose_labels_changed_keep_them_while_the_share_grows() -> None:
    plain, found = federation(), federation({**NEXT, "strengths": [0.8], "growing_rounds": 4})
    stored = plain.examples(1)[0].targets
    changed = [found.examples_in(1, r)[0].targets != stored for r in range(5)]
    shares = [float(one.float().mean()) for one in changed]
    np.testing.assert_allclose(shares, [0, 0.2, 0.4, 0.6, 0.8], atol=0.2)
    assert all((after | ~before).all() for before, after in pairwise(changed))


def test_labels_that_are_not_known_stay_so() -> None:
    table = {**NEXT, "clients": [], "first_round": 2}
    found = load_federation(scenario(table, data={"unlabelled": [2], "validation": 0.0}))
    assert (found.examples_in(2, 3)[0].targets < 0).all()
    assert (found.examples_in(1, 3)[0].targets >= 0).all()


def test_the_target_alone_is_tested_on_as_it_is_in_the_round() -> None:
    table = {**QUARTER, "first_round": 2}
    changes = {"data": {"unlabelled": [1], "validation": 0.0}}
    plain = load_federation(scenario(table))
    found = load_federation(scenario(table, **changes))
    groups = plain.dataset.test.groups
    assert groups is not None
    wanted = torch.rot90(plain.dataset.test.inputs[groups == 1], 1, (2, 3))
    assert torch.equal(found.test_in(0, 20, 2).inputs, wanted)


TABLES = (
    {**QUARTER, "first_round": 2},
    {"name": "noise", "strengths": [0.1], "growing_rounds": 3},
    {**NEXT, "first_round": 2, "last_round": 2},
)


def started(parent: Path, *changes: Changes) -> RunFolder:
    return RunFolder.create(parent, "run", scenario_with(base(*TABLES), *changes))


def outcome(folder: RunFolder) -> Any:
    summary = json.loads((folder.path / "summary.json").read_text())
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return summary["weights_sha256"], [json.loads(line).get("test") for line in lines]


def changes_of(**engine: Any) -> dict[str, Any]:
    return {"rounds": 3, "evaluation": {"federated": True}, "engine": engine}


def test_stopped_and_resumed_it_sees_the_same_examples(tmp_path: Path) -> None:
    whole, part = (started(tmp_path, changes_of(name="inline")) for _ in range(2))
    run(whole)
    run(part, [StopAfter(1)])
    again = RunFolder.open(part.path)
    run(again)
    assert outcome(again) == outcome(whole)


@pytest.mark.slow
@pytest.mark.parametrize("vectorised", ["auto", False])
def test_inline_and_ray_see_the_same_examples(tmp_path: Path, vectorised: Any) -> None:
    inline = started(tmp_path, changes_of(name="inline", vectorised=vectorised))
    run(inline)
    ray = started(tmp_path, changes_of(name="ray", workers=2, vectorised=vectorised))
    run(ray)
    assert outcome(ray) == outcome(inline)


@pytest.mark.parametrize(
    ("table", "change", "sentence"),
    [
        ({"first_round": 2}, {"evaluation": {"baselines": ["local"]}}, "take 'centralised'"),
        ({"first_round": 2}, {"evaluation": {"probe": {}}}, "evaluation.probe: it looks at"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    table: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(FedlabError, match=sentence):
        Simulation(scenario({**QUARTER, **table}, **change))


def test_a_shift_that_never_begins_and_a_best_round_of_easier_examples_are_said() -> None:
    late = {**QUARTER, "first_round": 9}
    notes = " ".join(assemble(scenario(late, evaluation={"federated": True})).notes)
    assert "first_round = 9 is after the last of 6 rounds" in notes
    assert "the round with the best metric may be one of easier examples" in notes


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(FedlabError, match="last_round = 2 is before first_round = 3"):
        scenario({**QUARTER, "first_round": 3, "last_round": 2})


def test_other_targets_than_classes_are_refused() -> None:
    with pytest.raises(FedlabError, match="'labels' changes classes"):
        load_federation(scenario_with({"data": {"name": "diabetes", "shift": [NEXT]}}))
