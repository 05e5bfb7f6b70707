"""A digest of data changes with what they hold, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlab.data.content import content_of, examples_digest, tensors_digest
from fedlab.data.dataset import Examples
from fedlab.scenario.parts import load_federation
from tests.shared import scenario_with

INPUTS, TARGETS = torch.arange(12.0).reshape(4, 3), torch.tensor([0, 1, 0, 1])
EXAMPLES = Examples(INPUTS, TARGETS)


def test_equal_examples_have_equal_digests() -> None:
    strided = INPUTS.T.contiguous().T
    assert examples_digest(EXAMPLES) == examples_digest(Examples(strided, TARGETS.clone()))


@pytest.mark.parametrize(
    "other",
    [
        Examples(INPUTS + 1e-6, TARGETS),
        Examples(INPUTS.reshape(4, 1, 3), TARGETS),
        Examples(INPUTS.double(), TARGETS),
        Examples(INPUTS, TARGETS.flip(0)),
        Examples(INPUTS[:3], TARGETS[:3]),
        Examples(INPUTS, TARGETS, np.array([0, 0, 1, 1]), ("a", "b")),
    ],
)
def test_other_examples_have_another_digest(other: Examples) -> None:
    assert examples_digest(other) != examples_digest(EXAMPLES)


def test_tensors_are_told_apart_by_name_and_value() -> None:
    first = {"a": torch.zeros(2), "b": torch.ones(2)}
    assert tensors_digest(first) == tensors_digest(dict(reversed(first.items())))
    assert tensors_digest(first) != tensors_digest({"b": torch.zeros(2), "a": torch.ones(2)})


def test_a_federation_is_described_part_by_part() -> None:
    federation = load_federation(scenario_with('data.name = "iris"\ndata.public.examples = 9'))
    found = content_of(federation)
    assert [found[part]["examples"] for part in ("train", "test", "public")] == [111, 30, 9]
    swapped = replace(federation, partition=federation.partition.of([[1, 0], [2]]))
    changed = [part for part, held in content_of(swapped).items() if held != found[part]]
    assert changed == ["partition"]


def test_clients_that_are_made_one_by_one_have_a_digest() -> None:
    population = 'data = {{name = "synthetic-population", clients = {}}}'
    natural = {"data": {"partition": {"name": "natural", "clients": None}}}
    few, more = (
        load_federation(scenario_with(natural, population.format(count))) for count in (4, 5)
    )
    assert content_of(few)["train"]["digest"] != content_of(more)["train"]["digest"]
