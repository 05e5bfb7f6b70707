"""``--help``, ``-h``, completion, and lists in narrow terminals and pipes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

COMMANDS = [
    [],
    ["run"],
    ["resume"],
    ["list"],
    ["show"],
    ["check"],
    ["doctor"],
    ["crossval"],
    ["transfer-gain"],
    ["finetune"],
    ["evaluate"],
    ["predict"],
    ["export"],
    ["compress"],
    ["unlearn"],
    ["report"],
    ["compare"],
    ["assets"],
    ["assets", "get"],
    ["assets", "list"],
    ["data"],
    ["data", "inspect"],
    ["data", "partition"],
]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_keeps_every_word_at_any_width(command, columns, typed, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    whole = typed(*command, "--help").out
    monkeypatch.setenv("COLUMNS", columns)
    shown = typed(*command, "-h").out
    assert re.sub(r"(-)?\s+", r"\1", shown) == re.sub(r"(-)?\s+", r"\1", whole)
    assert all(len(line) <= int(columns) for line in shown.splitlines())
    assert "\\[" not in shown
    assert "…" not in shown


def test_tables_in_help_are_text_and_arguments_say_what_they_are(typed, monkeypatch) -> None:
    from fedlab.cli.help import App

    app = App()

    @app.command("one")
    def one() -> None:
        """Change [tables] and [data.partition]."""

    @app.command("two")
    def two() -> None:
        """Do nothing."""

    monkeypatch.setattr("fedlab.cli.app", app)
    assert "Change [tables] and [data.partition]." in typed("one", "-h").out
    monkeypatch.undo()


def test_arguments_say_what_they_are(typed) -> None:
    assert "a built-in scenario's name, or a TOML file  [required]" in typed("run", "-h").out


def test_commands_are_listed_under_headings_and_none_is_forgotten(typed) -> None:
    out = typed("--help").out
    headings = [line for line in out.splitlines() if re.fullmatch(r"[A-Z][^:]*:", line)]
    assert headings == [
        "Options:",
        "Simulate:",
        "Find and check:",
        "Federate:",
        "Read the results:",
        "Use what was trained:",
    ]


@pytest.mark.parametrize("words", [[], ["data"], ["assets"]])
def test_without_a_command_the_help_is_shown(words, typed) -> None:
    shown = typed(*words)
    assert (shown.code, shown.errors) == (0, [])
    assert shown.out.startswith("Usage: fedlab")


def completed(line: str, folder, **environment: str) -> list[str]:
    words = line.split(" ")
    wanted = {
        "_FEDLAB_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = (
        "import sys; sys.argv = ['fedlab']\n"
        "from fedlab.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    assert not {'torch', 'ray', 'timm'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | wanted | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Error" not in done.stderr, done.stderr
    return done.stdout.split()


def test_the_shell_completes_names_folders_and_keys_without_torch(desk) -> None:
    (desk / "runs" / "one").mkdir(parents=True)
    (desk / "runs" / "one" / "scenario.toml").write_text("")
    assert "quickstart" in completed("fedlab run qui", desk)
    assert "scenario.toml" in completed("fedlab run sc", desk)
    assert completed("fedlab resume runs/o", desk) == ["runs/one", "runs/one/"]
    assert completed("fedlab list back", desk) == ["backbones"]
    assert "fedavg" in completed("fedlab show strategy feda", desk)
    assert "krum" in completed("fedlab show strategy kr", desk)
    assert completed("fedlab assets get dino", desk) == ["dinov2-small"]
    offered = completed("fedlab finetune --data x --backbone tf_", desk)
    assert "tf_efficientnet_lite0" in offered
    keys = completed("fedlab run quickstart --set model", desk)
    assert {"model.name=", "model.pretrained="} <= set(keys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "backbones"], "tf_efficientnet_lite0"),
        (
            ["finetune", "--data", ".", "--backbone", "transformers:no-one/none"],
            "--backbone: 'no-one/none' is not on this machine and cannot be fetched from the hub",
        ),
    ],
)
def test_what_needs_no_library_of_models_is_answered_without_one(desk, words, said) -> None:
    code = (
        f"import sys; sys.argv = ['fedlab', *{words!r}]\n"
        "from fedlab.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    assert not {'torch', 'timm', 'transformers'} & set(sys.modules)\n"
    )
    empty = {"HF_HUB_CACHE": str(desk / "hub"), "TORCH_HOME": str(desk / "torch")}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | empty,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in done.stdout + done.stderr
    assert "AssertionError" not in done.stderr
    assert time.monotonic() - begin < 10


def test_completion_is_quick(desk) -> None:
    begin = time.process_time(), os.times().children_user
    completed("fedlab run qui", desk)
    assert os.times().children_user - begin[1] < 3


def test_the_shells_script_for_completion_is_printed(typed, monkeypatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = typed("--show-completion", "bash")
    assert "_FEDLAB_COMPLETE=complete_bash" in shown.out
