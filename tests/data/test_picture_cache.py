"""Decoded pictures are kept by content: found again, never half, never stale."""

import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedlab.data import decoding, picture_cache, pictures
from fedlab.data.formats.picture import read_picture
from fedlab.data.mapped import RowFile
from fedlab.data.picture_cache import cached_pictures
from fedlab.data.pictures import read_pictures
from fedlab.errors import FedlabError
from fedlab.registry import datasets

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pictures, "FEW", 1)
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def folder(tmp_path) -> Path:
    draw = np.random.default_rng(0)
    kinds = [("RGB", "jpg"), ("L", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("P", "gif")]
    for number in range(20):
        mode, suffix = kinds[number % 5]
        path = tmp_path / "own" / "ab"[number % 2] / f"{number:02}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = draw.integers(0, 256, (9 + number, 12, 3), np.uint8)
        Image.fromarray(noise).convert(mode).save(path)
        os.utime(path, (1e9, 1e9))
    return tmp_path / "own"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def settled(monkeypatch) -> None:
    """Let files that were written just now count as unchanged since."""
    monkeypatch.setattr("fedlab.data.file_index.SECONDS_OF_DOUBT", -60.0)


@pytest.fixture
def decodings(monkeypatch) -> list[int]:
    """Return how many files each call has decoded."""
    counts: list[int] = []
    real = decoding.decode_all

    def counted(files, shape, target):
        counts.append(len(files))
        return real(files, shape, target)

    monkeypatch.setattr(picture_cache, "decode_all", counted)
    return counts


def rows_of(found: picture_cache.PictureSet) -> torch.Tensor:
    return found.file.read(np.arange(found.file.shape[0]))


def test_rows_are_the_pictures_and_are_found_again(folder, decodings, monkeypatch):
    settled(monkeypatch)
    found = cached_pictures(files(folder), SHAPE)
    wanted = torch.stack([read_picture(file, SHAPE) for file in files(folder)])
    assert torch.equal(rows_of(found), wanted)
    assert torch.equal(rows_of(cached_pictures(files(folder), SHAPE)), wanted)
    assert decodings == [20]


def test_unchanged_files_are_not_even_read(folder, monkeypatch):
    settled(monkeypatch)
    cached_pictures(files(folder), SHAPE)

    def read(path):
        raise AssertionError(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    cached_pictures(files(folder), SHAPE)


def test_other_sizes_channels_and_contents_are_other_sets(folder, decodings):
    cached_pictures(files(folder), SHAPE)
    cached_pictures(files(folder), (1, 8, 8))
    cached_pictures(files(folder), (3, 9, 9))
    cached_pictures(files(folder)[:-1], SHAPE)
    assert decodings == [20, 20, 20, 19]


def test_new_content_of_the_same_size_and_time_is_noticed(folder, decodings, monkeypatch):
    settled(monkeypatch)
    file = files(folder)[3]
    Image.new("RGB", (16, 16), "red").save(file, "BMP")
    os.utime(file, (1e9, 1e9))
    before, size = cached_pictures(files(folder), SHAPE), file.stat().st_size
    Image.new("RGB", (16, 16), "blue").save(file, "BMP")
    os.utime(file, (1e9, 1e9))
    assert file.stat().st_size == size
    after = cached_pictures(files(folder), SHAPE)
    assert not torch.equal(rows_of(before)[3], rows_of(after)[3])
    assert decodings == [20, 20]


def test_files_that_changed_shortly_before_are_read_again(folder, decodings):
    cached_pictures(files(folder), SHAPE)
    index = next(picture_cache.cache_folder().glob("pictures/index-*.npz"))
    assert len(np.load(index)["paths"]) == 0
    cached_pictures(files(folder), SHAPE)
    assert decodings == [20]


def test_a_folder_that_was_moved_or_copied_is_known_by_its_content(folder, tmp_path, decodings):
    cached_pictures(files(folder), SHAPE)
    shutil.copytree(folder, tmp_path / "copy")
    found = cached_pictures(files(tmp_path / "copy"), SHAPE)
    assert torch.equal(rows_of(found), rows_of(cached_pictures(files(folder), SHAPE)))
    assert decodings == [20]


def test_damaged_files_and_frames_are_remembered(folder, tmp_path, decodings, monkeypatch):
    settled(monkeypatch)
    whole = (folder / "a" / "00.jpg").read_bytes()
    (folder / "a" / "00.jpg").write_bytes(whole[: len(whole) // 2])
    frames = [Image.new("L", (9, 9), level) for level in (0, 200)]
    frames[0].save(folder / "b" / "99.gif", save_all=True, append_images=frames[1:])
    source = datasets.get("imagefolder")
    keys = {"name": "imagefolder", "path": str(folder), "image_size": 8}
    notes = []
    for _ in range(2):
        with pytest.raises(FedlabError, match=r"a/00\.jpg is not a whole picture"):
            source(source.Settings(**keys)).load(0)
        data = source(source.Settings(**keys, on_error="skip")).load(0)
        assert len(data.train) + len(data.test) == 20
        notes.append(data.notes)
    assert notes[0] == notes[1]
    assert "left out 1 of 21 files" in notes[0][0]
    assert "99.gif" in notes[0][1]
    assert decodings == [21]


def test_an_interrupted_decoding_leaves_nothing(folder, cache, monkeypatch):
    def interrupted(files, shape, target):
        target.put(0, torch.zeros(SHAPE, dtype=torch.uint8))
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_cache, "decode_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_pictures(files(folder), SHAPE)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_what_a_killed_process_left_is_no_set_and_is_removed_in_time(folder, cache, decodings):
    first = cached_pictures(files(folder), SHAPE)
    left = cache / f"{Path(first.file.path).stem}.1.part"
    left.write_bytes(b"half")
    os.truncate(first.file.path, 100)
    os.utime(left, (1, 1))
    again = cached_pictures(files(folder), SHAPE)
    assert again.file == first.file
    assert Path(again.file.path).stat().st_size == 20 * 3 * 8 * 8
    assert not left.exists()
    assert decodings == [20, 20]


def test_the_sets_unused_for_longest_go_but_not_those_in_use(folder, cache, monkeypatch):
    old = cached_pictures(files(folder), (3, 6, 6))
    held = cached_pictures(files(folder), (3, 7, 7))
    os.utime(old.file.path, (5, 5))
    os.utime(held.file.path, (4, 4))
    os.close(picture_cache._held.pop(old.file.path))
    monkeypatch.setattr(picture_cache, "MOST_BYTES_KEPT", 20 * 3 * 8 * 8)
    cached_pictures(files(folder), SHAPE)
    assert not Path(old.file.path).exists()
    assert Path(held.file.path).exists()


def test_without_a_cache_pictures_are_decoded_into_memory_with_a_note(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("FEDLAB_CACHE", str(tmp_path / "file"))
    found = read_pictures(files(folder), SHAPE)
    assert isinstance(found.stored, torch.Tensor)
    assert "FEDLAB_CACHE names another folder" in found.notes[0]
    monkeypatch.setattr(pictures, "MOST_IN_MEMORY", 10)
    with pytest.raises(FedlabError, match="cannot be written"):
        read_pictures(files(folder), SHAPE)


def test_a_full_disk_is_a_sentence_before_anything_is_decoded(folder, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FedlabError, match=r"take 0\.0 GB, and 0\.0 GB are free in"):
        cached_pictures(files(folder), SHAPE)


def test_small_sets_are_in_memory_and_leave_no_file(folder, cache, monkeypatch):
    monkeypatch.setattr(pictures, "FEW", 500)
    found = read_pictures(files(folder), SHAPE)
    assert isinstance(found.stored, torch.Tensor)
    assert not cache.exists()
    monkeypatch.setattr(pictures, "FEW", 1)
    cached = read_pictures(files(folder), SHAPE)
    assert isinstance(cached.stored, RowFile)
    assert torch.equal(cached.stored.read(np.arange(20)), found.stored)


def test_several_processes_get_the_same_set(folder, cache):
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        found = pool.starmap(cached_pictures, [(files(folder), SHAPE)] * 3)
    assert len({one.file for one in found}) == 1
    assert len(list(cache.glob("*.rows"))) == 1
    assert not list(cache.glob("*.part"))


def test_a_photograph_larger_than_all_room_is_decoded_alone(folder, monkeypatch):
    monkeypatch.setattr(decoding, "MOST_PIXELS", 50)
    found = cached_pictures(files(folder), SHAPE)
    wanted = torch.stack([read_picture(file, SHAPE) for file in files(folder)])
    assert torch.equal(rows_of(found), wanted)


def test_progress_is_not_shown_where_nobody_looks(folder, capsys, monkeypatch):
    monkeypatch.setattr(decoding, "SECONDS_BEFORE_PROGRESS", 0.0)
    cached_pictures(files(folder), SHAPE)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""
