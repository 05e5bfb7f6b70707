"""Scenario files as other programs write them, and content that no scenario has."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
import tomli_w

from fedlab.errors import FedlabError
from fedlab.scenario import load
from fedlab.scenario.files import MOST_BYTES
from fedlab.scenario.loading import MOST_PROBLEMS
from fedlab.scenario.toml_text import MOST_LEVELS
from tests.shared import SMALL, scenario_with

TEXT = tomli_w.dumps(SMALL)


def refusal(path: Path, content: bytes | str) -> str:
    """Return the one sentence, not too long, with which a file of this content is refused."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(FedlabError) as refused:
        load(str(path))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700
    return str(refused.value).replace(str(path), "FILE")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "marked.toml").write_bytes(codecs.BOM_UTF8 + TEXT.encode())
    assert load(str(tmp_path / "marked.toml")).model_dump() == scenario_with().model_dump()
    (tmp_path / "over.toml").write_bytes(codecs.BOM_UTF8 + b'extends = "marked.toml"\nrounds = 7')
    assert load(str(tmp_path / "over.toml")).rounds == 7


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_utf_16_is_said_to_be_that(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    said = refusal(tmp_path / "a.toml", mark + TEXT.encode(encoding))
    assert "FILE is UTF-16 or UTF-32 text" in said
    assert "save it as UTF-8" in said


def test_what_is_no_utf_8_is_said_with_its_line(tmp_path: Path) -> None:
    said = refusal(tmp_path / "a.toml", b'rounds = 3\ntitle = "caf\xe9"\n')
    assert said == "FILE is no text file: invalid continuation byte in line 2; save it as UTF-8"


@pytest.mark.parametrize(
    "content",
    [
        "[" + ".".join(["a"] * 2000) + "]\n",
        "a = " + "[" * 2000 + "]" * 2000,
        "a = " + "{a=" * 2000 + "1" + "}" * 2000,
        "a = " + "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1),
    ],
    ids=["keys", "lists", "tables", "one level more"],
)
def test_deep_content_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    assert "nested more than 30 levels deep" in refusal(tmp_path / "a.toml", content)


ODD = {
    "long comment": ("#" * (MOST_BYTES + 1), "FILE is no scenario: it has more than a megabyte"),
    "long text": (f'title = "{"x" * MOST_BYTES}"', "it has more than a megabyte"),
    "digits": ("rounds = " + "9" * 5000, "not valid TOML: Exceeds the limit (4300 digits)"),
    "hexadecimal": ("rounds = -0x" + "f" * 9000, "FILE is not valid TOML"),
    "large number": ("seed = 0x" + "f" * 9000, "FILE: seed: a whole number has 64 bits"),
    "long name": (f'[data]\nname = "{"d" * 90000}"', "data.name: unknown data set 'ddd"),
    "long key": (f"{'k' * 90000} = 1", "kkk...: there is no such key"),
    "control characters": (
        '[data]\nname = "a\\nb\\u0000\\u001b[31m"',
        r"unknown data set 'a\nb\x00\x1b[31m'",
    ),
    "line break in a key": ('"a\\nb" = 1', r'"a\nb": there is no such key'),
    "date": ("rounds = 2026-11-29", "rounds: a whole number belongs here, not 2026-11-29"),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_values_are_refused_in_a_short_sentence(tmp_path: Path, odd: str) -> None:
    content, message = ODD[odd]
    (tmp_path / "small.toml").write_text(TEXT)
    said = refusal(tmp_path / "a.toml", f'extends = "small.toml"\n{content}')
    assert message in said


def test_of_many_mistakes_the_first_are_shown(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        f"{TEXT}\n[client]\n" + "".join(f"k{n} = 0\n" for n in range(99))
    )
    with pytest.raises(FedlabError) as refused:
        load(str(tmp_path / "a.toml"))
    lines = str(refused.value).splitlines()
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1].endswith("and 79 more mistakes")


@pytest.mark.parametrize("base", ["e" * 5000, "a\\u0000b", "../" * 2000])
def test_what_is_no_name_of_a_file_is_not_extended(tmp_path: Path, base: str) -> None:
    assert "FILE: extends: " in refusal(tmp_path / "a.toml", f'extends = "{base}"')


@pytest.mark.parametrize("table", ["", "client", "strategy", "model", "client.optimizer", "data"])
@pytest.mark.parametrize(
    "key",
    [
        *("float", "int", "str", "bool", "none", "lr[0]", "list[int]", "tuple[str, ...]", "a.b"),
        *("function-after[f(), Scenario]", "literal['auto']", "", "ключ", "Scenario", "a b"),
        "constrained-int",
    ],
)
def test_a_key_is_told_from_a_branch_of_a_union(table: str, key: str) -> None:
    changes: dict[str, object] = {key: 1}
    for part in reversed(table.split(".") if table else []):
        changes = {part: changes}
    with pytest.raises(FedlabError) as refused:
        scenario_with(changes)
    bare = key.replace("-", "").isascii() and key.replace("-", "").isidentifier()
    written = key if bare else f'"{key}"'
    whole = f"{table}.{written}" if table else written
    assert f"scenario: {whole}: there is no such key." in str(refused.value)


@pytest.mark.parametrize("value", [{"int": 1}, {"int": {}}, {"float": {"int": "x"}}])
def test_a_table_where_a_number_belongs_is_located(value: object) -> None:
    with pytest.raises(FedlabError, match=r"engine\.vectorised: .* belongs here, not \{"):
        scenario_with({"engine": {"vectorised": value}})


def test_a_renamed_table_drops_inherited_keys_with_odd_names(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(TEXT + '\n[client]\nname = "ditto"\n"a.b" = 1\n')
    (tmp_path / "own.toml").write_text('extends = "base.toml"\n[client]\nname = "fedper"\n')
    assert load(str(tmp_path / "own.toml")).client.name == "fedper"
    said = refusal(tmp_path / "b.toml", 'extends = "own.toml"\nclient = 3\n')
    assert said == "FILE: client: this is a table, not 3"
