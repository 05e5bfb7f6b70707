"""What a viewer shows of a picture file is what is read, or the file is named."""

from __future__ import annotations

import io
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from fedlab.data.formats.picture import has_frames, picture_suffixes, read_picture
from fedlab.errors import FedlabError

SIZE = 6
COLOUR, GREY = (3, SIZE, SIZE), (1, SIZE, SIZE)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., torch.Tensor]:
    """Return a function that saves a picture and reads the file."""

    def saved(picture: Image.Image, name: str = "x.png", shape=COLOUR, **keys) -> torch.Tensor:
        picture.save(tmp_path / name, **keys)
        return read_picture(tmp_path / name, shape)

    return saved


def drawing(mode: str, ink: object, ground: object) -> Image.Image:
    """Return a square whose left half is inked."""
    picture = Image.new(mode, (SIZE, SIZE), ground)
    picture.paste(ink, (0, 0, SIZE // 2, SIZE))
    return picture


def is_drawing(pixels: torch.Tensor, ink: int = 0, ground: int = 255) -> bool:
    half = SIZE // 2
    return bool((pixels[..., :half] == ink).all() and (pixels[..., half:] == ground).all())


@pytest.mark.parametrize("shape", [COLOUR, GREY])
@pytest.mark.parametrize(
    ("mode", "ink", "ground"),
    [
        ("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)),
        ("RGBA", (0, 0, 0, 255), (200, 10, 10, 0)),
        ("LA", (0, 255), (0, 0)),
        ("1", 0, 1),
        ("L", 0, 255),
        ("RGB", (0, 0, 0), (255, 255, 255)),
    ],
)
def test_a_drawing_on_a_clear_ground_is_one_on_white(read, mode, ink, ground, shape):
    assert is_drawing(read(drawing(mode, ink, ground), shape=shape))


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_palette_with_transparency_is_laid_on_white(read, transparency):
    picture = drawing("P", 0, 1)
    picture.putpalette([0, 0, 0, 0, 0, 0])
    assert is_drawing(read(picture, transparency=transparency))
    assert is_drawing(read(picture, shape=GREY, transparency=transparency))


def test_what_is_half_transparent_is_mixed_with_white(read):
    pixels = read(Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 128)))
    assert pixels[:, 0, 0].tolist() == [255, 127, 127]


def png(bits: int, row: bytes, clear: int) -> bytes:
    """Return a grey PNG of as many bits, with one grey that stands for transparent."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", 8 * len(row) // bits, SIZE, bits, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", clear))]
    parts += [(b"IDAT", zlib.compress((b"\0" + row) * SIZE)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("bits", "row", "clear"),
    [
        (1, b"\x0f", 0),
        (2, b"\x00\x55", 0),
        (4, b"\x88\x88\x00\x00", 8),
        (8, b"\x07" * 4 + b"\0" * 4, 7),
        (16, b"\x12\x34" * 4 + b"\0" * 8, 0x1234),
    ],
)
def test_a_clear_grey_is_white_at_any_depth(tmp_path, bits, row, clear):
    (tmp_path / "x.png").write_bytes(png(bits, row, clear))
    pixels = read_picture(tmp_path / "x.png", (1, 8, 8))
    assert (pixels[0, :, :3] == 255).all()
    assert (pixels[0, :, -2:] == {1: 255, 2: 85}.get(bits, 0)).all()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm", "x.jp2"])
def test_16_bits_keep_their_whole_range(read, name):
    steps = np.tile(np.array([0, 13107, 26214, 39321, 52428, 65535], np.uint16), (SIZE, 1))
    pixels = read(Image.fromarray(steps), name, GREY)
    assert pixels[0, 0].tolist() == [0, 51, 102, 153, 204, 255]


def test_numbers_without_a_known_white_are_refused(read):
    for mode in ("F", "I"):
        with pytest.raises(FedlabError, match=r"x\.tif: its pixels are .* which of them is white"):
            read(Image.new(mode, (SIZE, SIZE), 3), "x.tif")


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "HSV", "YCbCr", "RGBX"])
def test_other_colour_spaces_show_their_colours(read, mode):
    red = Image.new("RGB", (SIZE, SIZE), (250, 20, 20))
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(red, ImageCms.createProfile("sRGB"), lab, 0, "LAB")
    else:
        picture = red.convert(mode)
    if mode == "HSV":  # No format holds it; the conversion is what is tested.
        from fedlab.data.formats.colours import flattened

        pixels = torch.from_numpy(np.array(flattened(picture))).permute(2, 0, 1)
    else:
        pixels = read(picture, "x.tif")
    wanted = torch.tensor([250, 20, 20])[:, None, None]
    assert (pixels.int() - wanted).abs().max() <= 6


def test_a_cmyk_photograph_is_not_inverted(read):
    ink = Image.new("RGB", (SIZE, SIZE), (200, 30, 60)).convert("CMYK")
    pixels = read(ink, "x.jpg", quality=95)
    assert (pixels[:, 0, 0].int() - torch.tensor([200, 30, 60])).abs().max() <= 8


def test_an_embedded_profile_is_turned_into_srgb(read):
    # A profile whose red and green primaries are swapped shows red where the file holds green.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    described = bytes(swapped).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    picture = Image.new("RGB", (SIZE, SIZE), (0, 255, 0))
    assert read(picture, icc_profile=described)[:, 0, 0].tolist() == pytest.approx(
        [255, 0, 0], abs=3
    )
    for harmless in (profile, b"no profile", b"\0" * 500):
        assert read(picture, icc_profile=harmless)[:, 0, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.tif"])
def test_a_picture_is_turned_upright(read, name):
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = drawing("RGB", (0, 0, 0), (255, 255, 255)).transpose(Image.Transpose.ROTATE_90)
    keys = {"lossless": True} if name == "x.webp" else {}
    pixels = read(sideways, name, exif=exif, **keys)
    assert pixels[:, :, 0].float().mean() < 40
    assert pixels[:, :, -1].float().mean() > 215


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return EXIF of these entries: tag, type, count and the four bytes of a value."""
    directory = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + directory + bytes(4)


UPRIGHT_AT_6 = (0x0112, 3, 1, b"\0\x06\0\0")


@pytest.mark.parametrize(
    "odd",
    [
        (0x011A, 2, 4, b"abc\0"),
        (0x0100, 2, 4, b"abc\0"),
        (0x0131, 7, 1 << 30, b"\xff" * 4),
        (0x8769, 4, 1, b"\xff" * 4),
        (0xFFFF, 99, 3, b"\0" * 4),
    ],
    ids=["resolution", "width", "length", "pointer", "type"],
)
def test_odd_metadata_do_not_keep_a_picture_from_being_turned(read, odd):
    sideways = drawing("RGB", (0, 0, 0), (255, 255, 255)).transpose(Image.Transpose.ROTATE_90)
    for entries in ((odd, UPRIGHT_AT_6), (UPRIGHT_AT_6, odd)):
        pixels = read(sideways, "x.jpg", exif=exif_block(*entries), quality=95)
        assert pixels[:, :, 0].float().mean() < 60


@pytest.mark.parametrize(
    "exif",
    [exif_block((0x0112, 3, 1, b"\0\x4d\0\0")), b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0?"],
)
def test_metadata_that_say_nothing_leave_a_picture_as_it_is(read, exif):
    assert read(Image.new("RGB", (SIZE, SIZE), "white"), "x.jpg", exif=exif).min() > 250


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png", "x.tif"])
def test_of_several_frames_the_first_is_read(tmp_path, read, name):
    frames = [Image.new("RGB", (SIZE, SIZE), colour) for colour in ("white", "black", "red")]
    keys = {"lossless": True} if name == "x.webp" else {}
    assert read(frames[0], name, save_all=True, append_images=frames[1:], **keys).min() == 255
    assert has_frames(tmp_path / name) == (name != "x.png")
    frames[0].save(tmp_path / f"one-{name}")
    assert not has_frames(tmp_path / f"one-{name}")


def test_pictures_of_every_common_suffix_are_known():
    wanted = ".png .jpg .jpeg .jfif .jpe .bmp .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .jp2 .avif"
    assert set(wanted.split()) <= picture_suffixes()
    assert not {".eps", ".pdf", ".mpg", ".h5"} & picture_suffixes()


def test_an_empty_file_and_one_with_too_many_pixels_are_named(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(FedlabError, match=r"x\.png is not a picture: the file is empty"):
        read_picture(tmp_path / "x.png", COLOUR)
    Image.new("L", (50, 50)).save(tmp_path / "y.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(FedlabError, match=r"y\.png has too many pixels"):
        read_picture(tmp_path / "y.png", COLOUR)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert read_picture(tmp_path / "y.png", COLOUR).max() == 0


def outcome(path: Path) -> str:
    """Return what is said of a damaged file, or its name if a picture is read."""
    try:
        assert read_picture(path, COLOUR).shape == COLOUR
    except FedlabError as error:
        return str(error)
    return path.name


SUFFIXES = ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "tga", "ico", "jp2", "avif", "qoi")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_read_or_named_and_nothing_else(tmp_path, suffix):
    draw = random.Random(suffix)
    exif = Image.Exif()
    exif[0x0112], exif[0x0131], exif[0x011A] = 6, "a program", 72.0
    pixels = np.frombuffer(draw.randbytes(16 * 16 * 3), np.uint8).reshape(16, 16, 3)
    stream = io.BytesIO()
    keys = {"exif": exif} if suffix in ("png", "jpg", "webp", "tif", "avif") else {}
    kind = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    Image.fromarray(pixels).save(stream, kind, **keys)
    whole = stream.getvalue()
    path = tmp_path / f"x.{suffix}"
    for trial in range(60):
        content = bytearray(whole[: draw.randrange(len(whole))] if trial % 6 == 0 else whole)
        for _ in range(draw.randrange(1, 6)):
            if content:
                content[draw.randrange(min(len(content), 400))] = draw.randrange(256)
        path.write_bytes(content)
        assert path.name in outcome(path)
