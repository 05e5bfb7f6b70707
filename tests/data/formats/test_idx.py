import gzip
import io

import pytest
import torch

from fedlab.data.formats.idx import read_idx
from fedlab.errors import FedlabError


def idx(shape: tuple[int, ...], values: bytes, kind: int = 8) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, kind, len(shape)]) + sizes + values


def test_values_come_in_the_shape_of_the_header():
    array = read_idx(io.BytesIO(idx((2, 2, 3), bytes(range(12)))), "pictures")
    assert torch.equal(array, torch.arange(12, dtype=torch.uint8).view(2, 2, 3))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (idx((2, 2), b"abc"), "promises 4 bytes of values, and 3 are there"),
        (idx((2, 2), b"abcde"), "promises 4 bytes of values, and 5 are there"),
        (idx((3,), b"abc", kind=13), "not an idx file of bytes"),
        (b"PK\3\4", "not an idx file of bytes"),
        (b"", "not an idx file of bytes"),
    ],
)
def test_what_is_no_whole_idx_file_is_refused(content, sentence):
    with pytest.raises(FedlabError, match=f"labels .*{sentence}"):
        read_idx(io.BytesIO(content), "labels")


def test_a_cut_off_gzip_file_is_refused(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx((1000,), bytes(1000)))[:20])
    with gzip.open(path) as file, pytest.raises(FedlabError, match=r"x\.gz cannot be read"):
        read_idx(file, str(path))
