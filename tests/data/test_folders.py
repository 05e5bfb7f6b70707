"""One rule says which files of a user's folders are examples, and the rest is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedlab.data.folders import OwnFolder
from fedlab.data.names import lookalikes, shown
from fedlab.data.parts import find_parts, read_parts
from fedlab.errors import FedlabError


def make(root: Path, *files: str) -> OwnFolder:
    """Return the folder with these files in it, and those of ``.txt`` wanted."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return OwnFolder(root, {".txt"}, "data.path")


def found(own: OwnFolder, place: Path | None = None) -> dict[str, list[str]]:
    labelled = own.labelled(place)
    return {
        name: [str(file.relative_to(own.root)) for file in files]
        for name, files in zip(labelled.classes, labelled.files, strict=True)
    }


def test_files_of_any_depth_and_case_are_taken_in_order(tmp_path):
    own = make(tmp_path, "b/2.TXT", "b/1.txt", "a/deep/er/3.Txt", "a/0.txt")
    assert found(own) == {"a": ["a/0.txt", "a/deep/er/3.Txt"], "b": ["b/1.txt", "b/2.TXT"]}
    assert own.notes() == ()


def test_what_is_hidden_or_left_behind_is_no_example(tmp_path):
    hidden = ("a/.ipynb_checkpoints/1.txt", "a/._1.txt", ".git/b/c.txt", "a/x/.y/z/1.txt")
    own = make(tmp_path, "a/1.txt", "b/1.txt", *hidden, "__MACOSX/a/1.txt", "b/__macosx/1.txt")
    assert found(own) == {"a": ["a/1.txt"], "b": ["b/1.txt"]}
    assert own.notes() == ("data.path: left out 6 files: hidden × 4, __MACOSX × 1, __macosx × 1",)


def test_what_is_left_out_is_counted_by_suffix_once(tmp_path):
    own = make(tmp_path, "a/1.txt", "a/2.jpg", "a/3.JPG", "b/Thumbs.db", "b/README", "b/1.txt")
    make(tmp_path, "readme.md", "c.txt")
    for _ in range(2):
        found(own)
    assert own.left_out == (
        "left out 6 files: .jpg × 2, .db × 1, .md × 1, .txt beside the folders × 1, "
        "without a suffix × 1"
    )


def test_links_are_followed_but_not_in_circles(tmp_path):
    own = make(tmp_path / "root", "a/1.txt", "b/1.txt")
    make(tmp_path / "elsewhere", "2.txt")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/above").symlink_to(tmp_path)
    (tmp_path / "root/a/self").symlink_to(tmp_path / "root/a/self")
    (tmp_path / "root/a/twin").symlink_to(tmp_path / "root/b")
    (tmp_path / "root/b/gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "root/b/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/circle").symlink_to(tmp_path / "root")
    os.mkfifo(tmp_path / "root/b/pipe.txt")
    assert found(own) == {"a": ["a/1.txt"], "b": ["b/1.txt", "b/more/2.txt"]}
    assert "links to folders that are read already × 4" in own.left_out
    assert "broken links and devices × 3" in own.left_out


def test_a_folder_that_is_linked_as_two_classes_is_refused(tmp_path):
    own = make(tmp_path, "a/1.txt")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(FedlabError, match=r"a and .*b are one folder, and cannot be two classes"):
        own.labelled()


def test_names_that_nobody_can_tell_apart_are_refused(tmp_path):
    own = make(tmp_path, "a/1.txt", "a /1.txt")
    with pytest.raises(FedlabError, match=r"the folders 'a' and 'a ', which nobody can tell apart"):
        own.labelled()


def test_classes_that_differ_in_case_alone_are_told(tmp_path):
    own = make(tmp_path, "Cat/1.txt", "cat/1.txt", "dog/1.txt")
    assert own.notes(own.labelled().classes) == (
        "data.path: classes that look alike are learned as different ones: 'Cat', 'cat'",
    )
    assert lookalikes(["straße", "STRASSE", "dog"]) == [("straße", "STRASSE")]


def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(raw)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    Path(os.fsdecode(raw + b"/1.txt")).write_text("x")
    own = make(tmp_path, "dog/1.txt")
    assert own.labelled().classes == (r"caf\xe9", "dog")
    assert shown(os.fsdecode(raw)).endswith(r"caf\xe9")
    assert shown("a\nb\u202e") == r"a\nb\u202e"


PART_LAYOUTS = [
    ("train", "test", "test"),
    ("Training", "Testing", "Testing"),
    ("train", "VAL", "VAL"),
    ("train", "valid", "valid"),
    ("train", "validation", "validation"),
    ("train", "dev", "dev"),
]


@pytest.mark.parametrize(("train", "other", "held_out"), PART_LAYOUTS)
def test_parts_are_known_by_their_names_in_any_case(tmp_path, train, other, held_out):
    own = make(tmp_path, *(f"{part}/{name}/1.txt" for part in (train, other) for name in "ab"))
    parts = find_parts(own)
    assert (parts.train, parts.test) == (tmp_path / train, tmp_path / held_out)
    assert bool(parts.notes) == ("test" not in other.lower())
    files = read_parts(own, parts, "texts")
    assert files.classes == ("a", "b")
    assert files.test is not None
    assert files.test[1] == ["a", "b"]


def test_beside_a_test_part_the_validation_part_is_told_to_be_unused(tmp_path):
    own = make(tmp_path, *(f"{part}/{c}/1.txt" for part in ("train", "val", "test") for c in "ab"))
    parts = find_parts(own)
    assert parts.test == tmp_path / "test"
    assert "'val' is not used: the model is tested on 'test'" in parts.notes[0]


@pytest.mark.parametrize(
    "classes", [("train", "car"), ("test", "control"), ("valid", "invalid"), ("dev", "prod")]
)
def test_one_folder_named_like_a_part_is_a_class(tmp_path, classes):
    own = make(tmp_path, *(f"{name}/1.txt" for name in classes))
    assert find_parts(own) == (tmp_path, None, ())


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (("val/a/1.txt", "test/a/1.txt"), "holds 'test', 'val', which look like parts"),
        (("train/a/1.txt", "test/a/1.txt", "cat/1.txt"), "parts of a data set, .* beside 'cat'"),
        (("train/a/1.txt", "val/a/1.txt", "valid/a/1.txt"), "'train', 'val', 'valid', which look"),
        (("Train/a/1.txt", "train/a/1.txt"), "'Train', 'train', which look like parts"),
        (("train/a/1.txt", "train/b/1.txt"), "'train' alone, which looks like a part"),
        (("train/a/1.txt", "train/b/1.txt", "holdout/a/1.txt"), "'train' beside 'holdout'"),
    ],
)
def test_folders_that_may_be_parts_or_classes_are_refused(tmp_path, files, sentence):
    own = make(tmp_path, *files)
    with pytest.raises(FedlabError, match=rf"data\.path: .*{sentence}"):
        find_parts(own)


def test_other_folders_beside_parts_are_left_out_and_told(tmp_path):
    own = make(tmp_path, "train/a/1.txt", "test/a/1.txt", "scripts/x.py", "notes.md", ".git/x")
    parts = find_parts(own)
    assert parts.train == tmp_path / "train"
    assert "hidden × 1" in own.left_out
    assert ".md × 1" in own.left_out


def test_a_class_without_files_is_refused_with_what_was_left_out(tmp_path):
    own = make(tmp_path, "a/1.txt", "b/1.doc")
    with pytest.raises(FedlabError, match=r"b holds no texts \(left out 1 file: \.doc × 1\)"):
        read_parts(own, find_parts(own), "texts")


def test_a_class_that_is_not_tested_is_no_fault(tmp_path):
    own = make(tmp_path, "train/a/1.txt", "train/b/1.txt", "test/a/1.txt")
    (tmp_path / "test" / "b").mkdir()
    files = read_parts(own, find_parts(own), "texts")
    assert files.test is not None
    assert files.test[1] == ["a"]
