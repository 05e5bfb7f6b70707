"""The commands that use a trained network, as typed."""

from __future__ import annotations

import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from fedlab.cli import main

SIZES = ("--rounds", "1", "--clients", "2", "--image-size", "16", "--set", "engine.name=inline")


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


def fedlab(*arguments: str | Path, folder: Path) -> Done:
    """Type a command in a folder."""
    stdout, stderr = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.chdir(folder)
        patch.setattr("sys.argv", ["fedlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    code = left.value.code
    assert isinstance(code, int)
    return Done(code, stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pictures of zeros and ones, and a run that was fine-tuned on them."""
    root = tmp_path_factory.mktemp("finetune")
    bunch = load_digits(n_class=2)
    for number, (image, target) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        named = root / "pictures" / ("zero", "one")[target]
        named.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(named / f"{number}.png")
    done = fedlab("finetune", "--data", "pictures", "--backbone", "lenet", *SIZES, folder=root)
    assert done.code == 0, done.stderr
    assert "Scenario    pictures-lenet.toml" in done.stdout
    return root


@pytest.fixture
def run(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


def test_finetune_leaves_a_scenario_a_finished_run_and_a_report(folder: Path, run: Path) -> None:
    assert (folder / "pictures-lenet.toml").is_file()
    assert (run / "report.html").is_file()
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"
    assert json.loads((run / "task.json").read_text())["labels"] == ["one", "zero"]


def test_evaluate_prints_the_summary_of_the_run(folder: Path, run: Path) -> None:
    done = fedlab("evaluate", run, "--json", folder=folder)
    summary = json.loads((run / "summary.json").read_text())
    assert json.loads(done.stdout) == pytest.approx(summary["test"], rel=1e-6)


def test_predict_prints_a_line_for_each_picture(folder: Path, run: Path) -> None:
    files = sorted((folder / "pictures" / "one").iterdir())[:3]
    done = fedlab("predict", run, *files, "--top", "1", "--json", folder=folder)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["input"] for line in lines] == [str(file) for file in files]
    assert all(len(line["classes"]) == 1 for line in lines)


def test_predictions_are_written_whole_or_not_at_all(folder: Path, run: Path) -> None:
    done = fedlab("predict", run, "pictures", "--output", "all.csv", folder=folder)
    assert (done.code, done.stdout) == (0, "")
    assert len((folder / "all.csv").read_text().splitlines()) == 361
    (folder / "all.csv").unlink()
    (picture := folder / "damaged.png").write_bytes(b"")
    words = ("predict", run, "pictures", picture)
    done = fedlab(*words, "--output", "all.csv", folder=folder)
    assert done.code == 2
    assert not list(folder.glob("*all.csv*"))
    done = fedlab(*words, "--output", "all.csv", "--on-error", "skip", folder=folder)
    assert done.code == 0
    assert "note: 1 input cannot be read" in done.stderr
    assert "the file is empty" in (folder / "all.csv").read_text().splitlines()[-1]
    picture.unlink()


def test_json_stays_json_where_no_number_is_finite(folder: Path, run: Path) -> None:
    weights = load_file(run / "model.safetensors")
    broken = shutil.copytree(run, folder / "broken", dirs_exist_ok=True)
    gone = {name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}
    save_file(gone, broken / "model.safetensors")
    picture = next((folder / "pictures" / "one").iterdir())
    predicted = fedlab("predict", broken, picture, "--json", folder=folder)
    assert [share for _, share in strictly(predicted.stdout)["classes"]] == [None, None]
    assert strictly(fedlab("evaluate", broken, "--json", folder=folder).stdout)["loss"] is None


def strictly(text: str) -> Any:
    """Return what JSON says, which knows no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_export_says_where_the_file_is(folder: Path, run: Path) -> None:
    done = fedlab("export", run, "--output", "model.safetensors", folder=folder)
    assert done.stdout.startswith("model.safetensors")
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("predict", "RUN", "absent.png"), "there is no picture file absent.png"),
        (("predict", "RUN", "pictures-lenet.toml"), "pictures-lenet.toml is not a picture"),
        (("predict", "pictures", "absent.png"), "pictures is not a run folder"),
        (("predict", "RUN", "pictures", "--format", "cvs"), "Did you mean 'csv'?"),
        (("predict", "RUN", "pictures", "--on-error", "skp"), "Did you mean 'skip'?"),
        (("predict", "RUN", "pictures", "--output", "x.txt"), "does not say its format"),
        (("predict", "RUN", "pictures", "--output", "no/x.csv"), "there is no folder no"),
        (("evaluate", "RUN", "--data", "absent"), "there is no folder absent"),
        (("export", "RUN", "--format", "onxx"), "Did you mean 'onnx'?"),
        (("finetune", "--data", "absent", "--backbone", "lenet"), "no folder or file absent"),
        (("export", "RUN", "--with-preprocessing"), "'onnx' alone has it, and --format is 'saf"),
        (("finetune", "--data", "pictures", "--backbone", "lente"), "unknown model 'lente'"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(
    folder: Path, run: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    before = sorted(folder.rglob("*"))
    done = fedlab(*(str(run) if word == "RUN" else word for word in arguments), folder=folder)
    assert done.code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_a_run_that_has_ended_says_so_and_rounds_go_on_longer(typed, desk) -> None:
    ran = typed("run", "scenario.toml", "--rounds", "1", "--set", "engine.name=inline")
    assert ran.code == 0
    (run,) = (desk / "runs").iterdir()
    again = typed("resume", run)
    assert again.code == 0
    said = " ".join(again.out.split())
    assert "The run had ended already: all 1 rounds are done." in said
    assert f"fedlab resume {run} --rounds 2" in said
    longer = typed("resume", run, "--rounds", "2")
    assert longer.code == 0
    assert "had ended" not in longer.out
    assert '"rounds"' in (run / "changes.json").read_text()
    less = typed("resume", run, "--rounds", "1")
    assert less.code == 2
    assert less.errors == [
        "error: rounds: 2 rounds are done already, and 1 are asked for; a larger number goes on "
        "longer"
    ]
