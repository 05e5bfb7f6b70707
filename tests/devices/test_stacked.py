"""Stacks of clients on the test device: the weights that clients reach one by one on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.sources.test_text import write_names
from tests.engine.stacked.test_mapped import (
    CNN,
    GRU,
    NAMES,
    NUMBER,
    SERVERS,
    check_same,
    scenario_of,
    updates,
)

pytestmark = pytest.mark.usefixtures("strict")
CLIENTS = {
    "plain": "",
    "momentum, clipping and decay": "clip_norm = 0.5\n"
    "optimizer = {lr = 0.05, momentum = 0.9, weight_decay = 0.01}",
    "proximal": 'name = "fedprox"',
    "control variates": 'name = "scaffold"',
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_stacked_convolutions_reach_the_weights_of_one_by_one_on_the_cpu(client: str) -> None:
    server = next((f'name = "{s}"\n{k}' for s, k in SERVERS.items() if f'"{s}"' in client), "")
    tables = {"model": CNN, "client": client, "strategy": server}
    found = updates(scenario_of(str(NUMBER), **tables), "strict")
    check_same(found, updates(scenario_of("false", **tables)))


def test_so_do_recurrent_networks_over_padded_texts(tmp_path: Path) -> None:
    data = f'{NAMES}\npath = "{write_names(tmp_path, copies=8)}"'
    found = updates(scenario_of(str(NUMBER), model=GRU, data=data), "strict")
    check_same(found, updates(scenario_of("false", model=GRU, data=data)))
