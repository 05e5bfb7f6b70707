"""Any scenario is checked, or refused in sentences that name its file: no traceback, no hang.

Scenarios are mutated with their structure in mind (known keys get values of other types and sizes,
tables go, come and change places, names and keys are made up) and as text. Each run sees the same
ones; ``FEDLAB_EXAMPLES=2000`` looks at as many others.
"""

from __future__ import annotations

import copy
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from pathlib import Path
from typing import Any, get_args

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fedlab import registry
from fedlab.cli import main
from fedlab.errors import FedlabError
from fedlab.run import memory
from fedlab.run.rehearsal import rehearse
from fedlab.scenario import Scenario, load
from fedlab.scenario.named_tables import schema_for

MORE = int(os.environ.get("FEDLAB_EXAMPLES", "0"))
SECONDS = 60
"""After which an example counts as one that hangs."""
LONGEST_LINE = 1200
FEW_BYTES = 300 * 10**6
"""What a model may take here, so that larger ones are refused and not built."""
SMALL_DATA = ["iris", "digits", "logic", "diabetes", "rotated-digits", "synthetic", "nowhere"]
NAMES: dict[str, list[str]] = {
    "model": ["mlp", "linear", "perceptron", "cnn", "lenet", "rnn", "autoencoder", "resnet10t.x"],
    "client": [*registry.clients.names(), "supervised.x", "json:dumps", "no.where:X"],
    "strategy": [*registry.strategies.names(), "fed.avg"],
    "partition": [*registry.partitioners.names(), "iid."],
    "attack": registry.attacks.names(),
    "updates": registry.updates.names(),
}
SMALL: dict[str, Any] = {
    "rounds": 1,
    "data": {"name": "iris", "partition": {"name": "iid", "clients": 3}},
    "model": {"name": "mlp", "hidden": [4]},
    "engine": {"name": "inline"},
    "client": {"name": "supervised", "optimizer": {"lr": 0.1}},
    "strategy": {"name": "fedavg"},
}
ODD_WORDS = ["", "int", "float", "a.b", "list[int]", "é", "a\nb", "\x1b[1m", "../..", "x" * 5000]
LITTLE = st.one_of(
    st.sampled_from([0, 1, 2, 3, -1, 0.0, 0.5, 1.0, -0.5, 1e-9, True, False]),
    st.sampled_from(["", "auto", "all", "head", "none", "iid", "mlp", "a.b", "int"]),
    st.sampled_from([[], [1], [2, 3], ["head"], {}, {"name": "mlp"}, {"name": 3}, [{}]]),
)
"""Values of which no run becomes long."""
LARGE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([10**6, 10**9, 10**12, 2**63 - 1, -(2**63), 10**30, 1e300, -1e300, 1e-300]),
    st.sampled_from([math.nan, math.inf, -math.inf, date(2026, 1, 2), time(3, 4)]),
    st.sampled_from([*ODD_WORDS, "~", "/dev/null", "/", "module:Class", "json:loads"]),
    st.sampled_from([[1] * 20_000, [[]], [[[1]]], {"a": {"b": [{}]}}, [None, 1][1:]]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=True),
    st.text(max_size=8),
)
VALUES = st.one_of(LITTLE, LARGE)


def key_paths(schema: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key that a schema knows."""
    for name, field in schema.model_fields.items():
        yield (*prefix, name)
        inner = next(tables_in(field.annotation), None)
        if inner is not None and len(prefix) < 4:
            yield from key_paths(inner, (*prefix, name))


def tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from tables_in(argument)


def put(raw: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a key, its tables made where they are not there."""
    for part in path[:-1]:
        raw = raw.setdefault(part, {})
        if not isinstance(raw, dict):
            return
    raw[path[-1]] = value


def drop(raw: dict[str, Any], path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        inside = raw.get(part)
        if not isinstance(inside, dict):
            return
        raw = inside
    raw.pop(path[-1], None)


@st.composite
def contents(draw: st.DrawFn, values: st.SearchStrategy[Any] = VALUES) -> dict[str, Any]:
    """Return the content of a scenario: parts by name, then a few changes."""
    raw = copy.deepcopy(SMALL)
    raw["data"]["name"] = draw(st.sampled_from(SMALL_DATA[:-1]))
    for table in draw(st.lists(st.sampled_from(sorted(NAMES)), max_size=3)):
        name = draw(st.sampled_from(NAMES[table]))
        if table == "updates":
            raw["updates"] = [{"name": name}]
        elif table == "partition":
            raw["data"]["partition"] = {"name": name, "clients": 3}
        elif table == "attack":
            raw["attack"] = {"name": name, "fraction": 0.4}
        else:
            raw[table] = {"name": name}
    schema, _ = schema_for(copy.deepcopy(raw))
    paths = sorted(set(key_paths(schema)))
    for change in draw(
        st.lists(st.sampled_from(["set", "set", "drop", "add", "list"]), max_size=4)
    ):
        path = draw(st.sampled_from(paths))
        if change == "set":
            put(raw, path, draw(values))
        elif change == "drop":
            drop(raw, path)
        elif change == "add":
            put(
                raw,
                (*path[:-1], draw(st.sampled_from(ODD_WORDS) | st.text(max_size=5))),
                draw(values),
            )
        else:
            raw[path[0]] = [copy.deepcopy(raw.get(path[0], {}))] * 2
    return raw


def as_text(raw: dict[str, Any]) -> str:
    return tomli_w.dumps(raw)


@st.composite
def bytes_of_scenarios(draw: st.DrawFn) -> bytes:
    """Return the bytes of a scenario, cut, doubled or overwritten somewhere."""
    content = as_text(draw(contents(LITTLE))).encode()
    at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
    change = draw(st.sampled_from(["cut", "double", "overwrite", "insert", "encode"]))
    if change == "cut":
        return content[:at]
    if change == "double":
        return content[:at] + content[at : at + length] + content[at:]
    if change == "overwrite":
        return content[:at] + draw(st.binary(max_size=8)) + content[at + length :]
    if change == "insert":
        piece = draw(
            st.sampled_from(["[[", "]]", "'''", "\n[client]\n", "=", "\\", "{", "nan", '"'])
        )
        return content[:at] + piece.encode() + content[at:]
    return content.decode().encode(draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-32"])))


def examples(count: int) -> Any:
    """Return hypothesis settings: the same ones in every run, or others."""
    return settings(
        max_examples=MORE or count,
        derandomize=not MORE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail where an example takes too long."""

    def stop(number: int, frame: object) -> None:
        raise AssertionError(f"an example took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the present folder, on a machine of little memory from which nothing is fetched."""
    path = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("FEDLAB_OFFLINE", "1")
        patch.setattr(memory, "machine_memory", lambda: FEW_BYTES)
        yield path


def checked(path: Path) -> Scenario | None:
    """Return the scenario, or None where it is refused as it should be."""
    with time_limit():
        try:
            scenario = load(str(path))
        except FedlabError as error:
            for line in str(error).splitlines():
                assert path.name in line, line
                assert_sentence(line)
            return None
        try:
            rehearse(scenario)
        except FedlabError as error:
            for line in str(error).splitlines():
                assert_sentence(line)
            return None
    return scenario


def assert_sentence(line: str) -> None:
    assert line.strip()
    assert len(line) < LONGEST_LINE, line
    assert line.isprintable(), line
    assert "Error" not in line.partition("importing")[0] or ": " in line, line


@examples(120)
@given(raw=contents())
def test_any_content_is_a_scenario_or_refused(folder: Path, raw: dict[str, Any]) -> None:
    path = folder / "any.toml"
    path.write_text(as_text(raw))
    checked(path)


@examples(150)
@given(content=bytes_of_scenarios())
def test_any_bytes_are_a_scenario_or_refused(folder: Path, content: bytes) -> None:
    path = folder / "any.toml"
    path.write_bytes(content)
    checked(path)


@examples(6)
@given(raw=contents(LITTLE))
def test_what_is_accepted_runs_or_is_refused(folder: Path, raw: dict[str, Any]) -> None:
    raw["rounds"], raw["engine"] = 1, {"name": "inline"}
    path = folder / "run.toml"
    path.write_text(as_text(raw))
    accepted = checked(path)
    if accepted is None or getattr(accepted.client, "epochs", 0) > 3:
        return
    with pytest.MonkeyPatch.context() as patch, time_limit():
        patch.setattr(sys, "argv", ["fedlab", "run", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code in (0, 2, None)
