"""The console: text is never markup, paths stay whole, words wrap on terminals alone."""

from __future__ import annotations

import io

import pytest

from fedlab.terminal import PlainConsole

PATH = "/a/folder/with-a-long-name/runs/digits-20260101-000000/report.html"


def printed(*texts: str, table: bool = False) -> str:
    """Return what a console prints."""
    file = io.StringIO()
    console = PlainConsole(file=file)
    if table:
        console.rows(("name", "what it is"), [texts])
    else:
        console.say(*texts)
    return file.getvalue()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the console believe in a terminal of 40 columns."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


NAMES = ["[red]x[/red]", "[bold", ":smile:", "[link=file:///etc]y[/link]", "$a$ {} \\"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_never_markup(name: str) -> None:
    assert printed(f"class {name}") == f"class {name}\n"
    assert name in printed(name, "a class", table=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\rb", "a\\rb"),
        ("\u202eabc", "abc"),
        ("猫 é\u00a0%", "猫 é\u00a0%"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_control_characters_do_not_reach_a_terminal(text: str, shown: str) -> None:
    assert printed(text) == f"{shown}\n"


def test_off_a_terminal_nothing_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = f"{'word ' * 100}{PATH}"
    assert printed(text) == f"{text}\n"
    assert text in printed("name", text, table=True)


@pytest.mark.usefixtures("narrow")
def test_on_a_narrow_terminal_words_wrap_and_paths_do_not() -> None:
    lines = printed(f"  Resume the run after the round that is saved: {PATH}").splitlines()
    assert PATH in [line.strip() for line in lines]
    assert all(len(line) <= 40 for line in lines if PATH not in line)
    assert all(line.startswith("  ") for line in lines)


@pytest.mark.usefixtures("narrow")
def test_a_table_too_wide_for_a_terminal_becomes_paragraphs() -> None:
    lines = printed("a-name", f"what it is, with {PATH}", table=True).splitlines()
    assert lines[0].strip() == "a-name"
    assert PATH in [line.strip() for line in lines]
    assert "name" in printed("a-name", "short", table=True).splitlines()[0]
