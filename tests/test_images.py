"""Images of strangers: only what is named is decoded, nothing turns black, and nothing is left out in silence."""

import io
import os
import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo import GanzooError, ImageRef
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import EXTENSIONS, FORMATS, convert
from ganzoo.options import DataOptions

SMOOTH = np.stack([*np.mgrid[0:240:10, 0:200:10], np.full((24, 20), 99)], axis=-1).astype(np.uint8)
STRANGE = ("EPS", "DDS", "ICO", "PCX", "TGA", "SGI", "ICNS", "MSP", "SPIDER", "XBM")
PROPERTY = settings(max_examples=400, deadline=None, derandomize=True, database=None)


def encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(SMOOTH).convert(mode).save(file, kind, **options)
    return file.getvalue()


def deep_png(values: np.ndarray) -> bytes:
    """16 bits of one band or of three, which Pillow itself does not write."""
    high, wide, bands = values.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", wide, high, 16, {1: 0, 3: 2}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SOUND = {
    **{kind: encoded(kind) for kind in FORMATS},
    "JPEG of four": encoded("JPEG", "CMYK"),
    "PNG palette": encoded("PNG", "P", transparency=3),
    "PNG see-through": encoded("PNG", "RGB", transparency=(0, 0, 0)),
    "PNG interlaced alpha": encoded("PNG", "RGBA"),
    "PNG deep": deep_png(SMOOTH[:, :, :1].astype(np.uint16) * 257),
    "TIFF compressed": encoded("TIFF", compression="tiff_lzw"),
    "TIFF LAB": encoded("TIFF", "LAB"),
    "TIFF floating": encoded("TIFF", "F"),
    "WEBP lossless": encoded("WEBP", "RGBA", lossless=True),
}


def read(content: bytes, folder, channels: int = 3) -> Image.Image:
    (folder / "a.png").write_bytes(content)
    return convert(ImageRef(folder / "a.png").open(), channels)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_is_named_is_decoded(tmp_path, kind):
    image = read(SOUND[kind], tmp_path)
    assert image.size == (20, 24) and np.abs(np.asarray(image, np.int16) - SMOOTH).mean() < 40


@pytest.mark.parametrize("kind", STRANGE)
def test_other_formats_are_not_decoded_whatever_the_file_is_called(tmp_path, monkeypatch, kind):
    """Pillow would start Ghostscript for the first of them."""
    ghost = tmp_path / "gs"
    ghost.write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    ghost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    content = encoded(kind, {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB"))
    assert Image.open(io.BytesIO(content)).format == kind, "Pillow knows it"
    with pytest.raises(GanzooError, match=r"a\.png cannot be read as an image \(it is none of jpg, png"):
        read(content, tmp_path)
    assert not (tmp_path / "started").exists()


def test_a_damaged_image_has_its_own_sentence(tmp_path):
    """Cut short, bytes changed, or both: an image, or a GanzooError."""

    @PROPERTY
    @given(
        st.sampled_from([*SOUND]),
        st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
        st.booleans(),  # changes in the head, where they do most
        st.one_of(st.just(1.0), st.floats(0, 1)),
        st.integers(1, 4),
    )
    def survives(kind, flips, early, kept, channels):
        content = bytearray(SOUND[kind])
        for place, change in flips:
            content[int(place * (min(200, len(content)) if early else len(content)))] ^= change
        try:
            assert isinstance(read(bytes(content[: int(kept * len(content))]), tmp_path, channels), Image.Image)
        except GanzooError as error:
            assert "a.png cannot be read as an image (" in str(error)

    survives()


def saved(values: np.ndarray, kind: str) -> bytes:
    if kind == "PNG":
        return deep_png(np.atleast_3d(values))
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


RAMP = np.linspace(0, 1, 12).reshape(3, 4)
EIGHT = np.round(RAMP * 255).astype(np.int16)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RAMP.astype(np.float32), "TIFF"),
        ((RAMP * 65535).round().astype(np.int32), "TIFF"),
        ((RAMP * 65535).round().astype(np.uint16), "TIFF"),
        ((RAMP * 65535).round().astype(np.uint16), "PNG"),
        (np.repeat((RAMP * 65535).round()[..., None], 3, axis=2).astype(np.uint16), "PNG"),
        (np.zeros((3, 4), np.uint16), "PNG"),
    ],
)
def test_more_than_8_bits_are_shown_as_they_are(tmp_path, values, kind):
    found = np.asarray(read(saved(values, kind), tmp_path, 1), dtype=np.int16)
    assert np.abs(found - EIGHT * bool(values.any())).max() <= 1


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ((RAMP * 255).astype(np.float32), "TIFF", "from 0 to 255 where 0 to 1 is black to white"),
        ((RAMP * 65535).astype(np.float32), "TIFF", "from 0 to 65535 where 0 to 1"),
        ((RAMP * 0.05).astype(np.float32), "TIFF", "from 0 to 0.05 where 0 to 1"),
        (np.where(RAMP == 1, np.nan, RAMP).astype(np.float32), "TIFF", "from nan to nan"),
        (EIGHT.astype(np.int32), "TIFF", "from 0 to 255 where 0 to 65535"),
        (EIGHT.astype(np.int32) - 9, "TIFF", "from -9 to 246"),
        ((RAMP * 4095).astype(np.uint16), "PNG", "from 0 to 4095 where 0 to 65535"),
        (np.repeat((RAMP * 4095)[..., None], 3, axis=2).astype(np.uint16), "PNG", "from 0 to 4095 where"),
        (np.repeat(EIGHT[..., None], 3, axis=2).astype(np.uint16), "PNG", "from 0 to 255 where"),
    ],
)
def test_what_would_be_black_or_white_is_refused(tmp_path, values, kind, says):
    with pytest.raises(GanzooError, match=f"{says}.*save it with 8 bits"):
        read(saved(values, kind), tmp_path)


def test_lab_has_any_number_of_channels(tmp_path):
    for channels in (1, 2, 3, 4):
        assert len(read(SOUND["TIFF LAB"], tmp_path, channels).getbands()) == channels
    with pytest.raises(GanzooError, match="The image cannot be used: its numbers go from 9 to 9"):
        convert(Image.new("F", (2, 2), 9), 3)


@pytest.fixture
def untidy(tmp_path):
    """Domains of 3 images each, one of them behind a link, and much that is none."""
    root = tmp_path / "mine"
    for place in ("cat/0.png", "cat/sub/1.png", "dog/0.png", "dog/1.png", "dog/2.png", "elsewhere/0.png"):
        file = (tmp_path if place.startswith("else") else root) / place
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(SMOOTH, len(place) * ord(place[0]) + ord(place[-5]))).save(file)
    (root / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "sub" / "loop").symlink_to(root / "cat")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "gone.png")
    (root / "cat" / ".hidden").touch()
    for name in ("notes\x1b[31m.txt", "b.gif", "c.heic", "a.psd\udcff"):
        (root / "dog" / name).touch()
    (root / "emu").mkdir()
    (root / "fox").symlink_to(tmp_path / "not mounted")
    return root


LEFT_OUT = (
    "Left out of mine: broken links and devices: 2 (cat/gone.png, fox); files that are no images: 4 "
    r"(dog/a.psd\udcff, dog/b.gif, dog/c.heic, ...); folders without images to train on: 1 (emu); links to folders that are there "
    "already: 1 (cat/sub/loop)."
)


def test_what_is_left_out_of_a_folder_is_told(untidy, tmp_path, recipe, ganzoo):
    checked = ganzoo("data", "check", "mine", cwd=tmp_path)
    assert checked.returncode == 0 and LEFT_OUT in checked.stdout and "Everything else can be read" in checked.stdout
    recipe(tmp_path, {"data.root": "mine", "train.images": 2})
    trained = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    assert trained.returncode == 0 and LEFT_OUT in trained.stdout.replace("\n", " ")


def test_linked_folders_are_followed_once(untidy):
    source = open_dataset(DataOptions(source="folders", root=str(untidy)), "unpaired", say=str).source
    names = [ref.path.relative_to(untidy).as_posix() for ref in source.images("train", "cat")]
    assert names == ["cat/0.png", "cat/linked/0.png", "cat/sub/1.png"]


@pytest.fixture
def somebody():
    """A folder of somebody who may not read everything, as root may."""
    root, user = Path(tempfile.mkdtemp()), os.geteuid()
    root.chmod(0o755)
    for place in ("cat/0.png", "cat/sub/1.png", "dog/0.png"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(SMOOTH).save(root / place)
    if user == 0:
        os.seteuid(65534)
    yield root
    os.seteuid(user)
    for folder in root.rglob("*/"):
        folder.chmod(0o755)
    shutil.rmtree(root)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_folders_that_may_not_be_read(somebody):
    def opened():
        return open_dataset(DataOptions(source="folders", root=str(somebody)), "unpaired", say=told.append).source

    def chmod(place, mode):
        user = os.geteuid()
        os.seteuid(os.getuid())
        (somebody / place).chmod(mode)
        os.seteuid(user)

    told = []
    chmod("cat/sub", 0)
    assert len(opened().images("train", "cat")) == 1
    assert told == [f"Left out of {somebody}: folders that cannot be read: 1 (cat/sub)."]
    chmod("cat/sub", 0o644)  # its names may be read, and nothing more
    assert len(opened().images("train", "cat")) == 1 and "folders that cannot be read: 1 (cat/sub)" in told[1]
    chmod("dog", 0)
    with pytest.raises(GanzooError, match=r"dog.* \(?Permission denied"):
        opened()


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("a" * 300, "File name too long"),
        ("a/" * 2500, "File name too long"),
        ("~nosuchuser/x", "Could not determine home directory"),
        ("nul\0", "there is no folder"),
    ],
)
def test_impossible_paths(root, words):
    with pytest.raises(GanzooError, match=words):
        open_dataset(DataOptions(source="folders", root=root), "unpaired")


def test_every_suffix_can_be_written():
    assert all(Image.registered_extensions()[suffix] in FORMATS for suffix in EXTENSIONS)
    assert all(Image.registered_extensions()[suffix] in Image.SAVE for suffix in EXTENSIONS)
