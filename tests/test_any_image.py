"""`ganzoo translate` of whatever users have: large images in little memory, alpha, profiles, EXIF, 16 bits, damage."""

import contextlib
import io
import struct
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, TiffImagePlugin

import ganzoo as package
from ganzoo import imagefile, recipe, tiles
from ganzoo.bulk import translate_files
from ganzoo.data.images import to_image
from ganzoo.translate import Translator

ORIENTATION, MAKE, PHOTO, SIDES = 0x0112, 0x010F, 0x8769, (40962, 40963)
WIDE = {"rXYZ": (0.51512, 0.24120, -0.00105), "gXYZ": (0.29198, 0.69225, 0.04189), "bXYZ": (0.15710, 0.06657, 0.78407)}


def noise(size, channels=3, seed=0):
    width, height = size
    return (np.random.default_rng(seed).random((height, width, channels)) * 255).astype(np.uint8)


def smooth(size, seed=0, grain=12):
    """Something like a photograph: broad shapes and fine detail."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray((rng.random((5, 6, 3)) * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = rng.normal(0, grain, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(small, dtype=float) + fine).clip(0, 255).astype(np.uint8))


def display_p3() -> bytes:
    """An sRGB profile with the primaries of Display P3 (SMPTE RP 431-2, adapted to D50) in their place."""
    profile = bytearray(imagefile.srgb_profile())
    for i in range(struct.unpack(">I", profile[128:132])[0]):
        name, place, _ = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        if name.decode() in WIDE:
            fixed = [round(value * 65536) for value in WIDE[name.decode()]]
            profile[place + 8 : place + 20] = struct.pack(">3i", *fixed)
    return bytes(profile)


def p3_to_srgb(values: np.ndarray) -> np.ndarray:
    """By the matrix of CSS Color 4, section 10, and sRGB's curve, which both have."""
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    v = values / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) @ matrix.T
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


class Half(package.Trainer):
    """Halves the contrast, turns it round and is a little darker: what should come out of any path is known."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.slope = torch.nn.Parameter(torch.tensor(-0.5))

    def phases(self):
        return []

    def translate(self, images, source, target):
        return self.slope * images - 0.25


class Whole(Half):
    tileable = False


TABLES = {"model": "cyclegan", "data": {"source": "none", "size": 32}, "train": {"images": 1}}


def translator(model=None, channels=3, size=32, **generator):
    """An untrained one: CycleGAN's with a generator, or of a class above."""
    torch.manual_seed(0)
    made_from = recipe.parse(TABLES | ({"options": {"generator": generator}} if generator else {}))
    spec = package.DataSpec(("x", "y"), {"x": channels, "y": channels}, size)
    return Translator((model or made_from.trainer)(made_from.options, spec).eval(), made_from)


def expected(image):
    return np.asarray(image, dtype=float) * -0.5 + 0.5 * 127.5 + 127.5 * 0.75


def pixels(image):
    return np.asarray(image, dtype=float)


# Tiles


NETS = [
    {"name": "resnet", "width": 4, "blocks": 1},
    {"name": "resnet", "width": 4, "blocks": 1, "norm": "batch", "upsample": "nearest"},
    {"name": "small", "width": 4, "norm": "none"},
]


@pytest.mark.parametrize("generator", NETS, ids=lambda g: "-".join(map(str, g.values())))
@pytest.mark.parametrize("size", [(230, 157), (97, 300)])
def test_tiles_with_the_statistics_of_the_whole_image_give_the_whole_image(generator, size):
    """Wherever only one tile counts, which is further from its edges than the receptive field."""
    made = translator(**generator)
    image = torch.from_numpy(noise(size)).permute(2, 0, 1)[None]
    apply = partial(made.translate_tensor, source="x", target="y")
    tile, overlap, multiple = 112, 48, made.trainer.multiple
    with made.trainer.inference(), tiles.shared_statistics(made.trainer) as use:
        whole = apply(tiles.as_unit(image))
        assert use, "the discriminators have instance norm in any case"
        use()
        found = tiles.in_tiles(apply, image, tile, multiple, overlap)
    assert found.shape == whole.shape
    alone = torch.zeros(whole.shape[-2:], dtype=torch.bool)
    for top, down in tiles._stripes(size[1], tile, overlap, multiple):
        for left, across in tiles._stripes(size[0], tile, overlap, multiple):
            part = down[:, None] * across
            alone[top : top + len(down), left : left + len(across)] |= part == 1
    difference = (found - whole).abs()
    assert alone.float().mean() > 0.15 and difference[..., alone].max() < 1e-5
    assert difference.max() < 0.1, "between the tiles"
    assert "forward" not in {name for module in made.trainer.modules() for name in vars(module)}, "as it was"


@pytest.mark.parametrize("side", [1, 5, 32, 33, 47, 48, 49, 200])
@pytest.mark.parametrize(("tile", "overlap", "multiple"), [(32, 8, 4), (32, 16, 16), (48, 44, 4), (32, 0, 1)])
def test_weights_add_up_to_1_and_tiles_cover_a_side(side, tile, overlap, multiple):
    total = torch.zeros(side)
    for start, weights in tiles._stripes(side, tile, overlap, multiple):
        assert start % multiple == 0 and 0 < len(weights) <= tile and weights.min() > 0
        total[start : start + len(weights)] += weights
    assert (total - 1).abs().max() < 1e-6


def test_tiles_agree_where_they_would_not_by_themselves():
    """The image gets brighter to the right: instance norm would make all tiles alike."""
    made = translator(name="resnet", width=4, blocks=1)
    values = pixels(smooth((320, 96), grain=0)) * np.linspace(0.2, 1, 320)[:, None]
    image = Image.fromarray(values.astype(np.uint8))
    whole, joined = (pixels(made.translate(image, tile=tile)) for tile in (320, 96))
    apply = partial(made.translate_tensor, source="x", target="y")
    with made.trainer.inference():
        bytes_ = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        apart = pixels(to_image(tiles.in_tiles(apply, bytes_, 96, 4, 24)[0]))
    assert np.abs(joined - whole).mean() < 0.4 * np.abs(apart - whole).mean()
    jumps = [np.diff((one - whole).mean(axis=(0, 2)).reshape(-1, 4).mean(axis=1)) for one in (joined, apart)]
    assert np.abs(jumps[0]).max() < 2, "no seam between columns, four at a time as the strides make patterns of four"
    assert np.abs(jumps[0]).max() < 0.5 * np.abs(jumps[1]).max()


def test_a_tile_that_holds_the_image_changes_nothing():
    made, image = translator(name="unet", width=2), smooth((100, 70))
    assert (pixels(made.translate(image, tile=128)) == pixels(made.translate(image))).all()
    assert made.translate(image, tile=64).size == image.size, "the U-Net's multiple is 32"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_tiles_are_chosen_where_the_memory_is_not_enough(tmp_path):
    import resource

    made = translator(name="resnet", width=4, blocks=1)
    smooth((2400, 1500)).save(tmp_path / "large.png")
    limits, said = resource.getrlimit(resource.RLIMIT_AS), []
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 400_000_000, limits[1]))
    try:
        done = list(translate_files(made, tmp_path / "large.png", tmp_path / "out.png", say=said.append))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert done == [(1, 1, None)] and Image.open(tmp_path / "out.png").size == (2400, 1500)
    assert (
        len(said) == 1
        and "2400x1500 pixels are too many for the memory at once: it is translated in tiles of" in said[0]
    )


def test_a_model_that_sees_images_as_a_whole_is_not_tiled():
    with pytest.raises(package.GanzooError, match="has to see an image as a whole"):
        translator(Whole).translate(smooth((64, 64)), tile=32)


# Sizes


def test_a_smaller_size_keeps_the_detail():
    image = smooth((403, 302))
    made = translator(Half)
    reduced = made.translate(image, size=100)
    assert reduced.size == image.size
    blurred = image.resize((134, 100), Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)
    error, without = (np.abs(pixels(one) - expected(image)).mean() for one in (reduced, made.translate(blurred)))
    assert error < 1.2 < 0.4 * without
    assert np.abs(pixels(made.translate(image, size=600)) - expected(image)).mean() < 2.5, "a larger one"


def test_detail_that_the_translation_does_not_follow_is_not_brought_back():
    image = smooth((400, 300))
    small = torch.from_numpy(np.array(image.resize((100, 75)))).permute(2, 0, 1)[None]
    full = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    flat = tiles.restore_detail(torch.full((1, 3, 75, 100), 0.25), tiles.as_unit(small), full)
    assert (flat - 0.25).abs().max() < 1e-5


# What is kept


def test_profiles_become_srgb():
    said, image = [], Image.fromarray(noise((16, 12)) // 2 + 60)
    image.info["icc_profile"] = display_p3()
    found = imagefile.opened(image, said.append)
    assert np.abs(pixels(found) - p3_to_srgb(pixels(image))).max() <= 1.5 and not said
    assert np.abs(pixels(found) - pixels(image)).max() > 4, "which makes a difference"
    made = translator(Half).translate(image)
    assert np.abs(pixels(made) - expected(p3_to_srgb(pixels(image)))).max() <= 1.5
    profile = ImageCms.ImageCmsProfile(io.BytesIO(made.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    image.info["icc_profile"] = b"no profile"
    assert (pixels(imagefile.opened(image, said.append)) == pixels(image)).all() and "taken for sRGB" in said[0]


def test_what_is_transparent_stays_so_and_hides_nothing():
    values = noise((20, 10), 4)
    values[:, :10, 3] = 0
    made = translator(Half).translate(Image.fromarray(values))
    assert made.mode == "RGBA" and (pixels(made)[..., 3] == values[..., 3]).all()
    assert np.abs(pixels(made)[:, 10:, :3] - expected(values[:, 10:, :3])).max() <= 1
    assert np.abs(pixels(made)[:, :10, :3] - expected(np.full((10, 10, 3), 255))).max() <= 1
    grey = Image.fromarray(noise((5, 5), 2))
    assert translator(Half).translate(grey).mode == "RGBA" and translator(Half, channels=1).translate(grey).mode == "LA"
    both = translator(Half, channels=4).translate(Image.fromarray(values))
    assert np.abs(pixels(both)[..., 3] - expected(values[..., 3])).max() <= 1, "a domain with alpha translates it"


def test_exif_keeps_what_was_photographed_and_no_thumbnail(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE], exif[0x0110] = 6, "Maker", "Model"
    exif.get_ifd(PHOTO).update({SIDES[0]: 40, SIDES[1]: 30, 40961: 65535, 33434: TiffImagePlugin.IFDRational(1, 60)})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 0.0)})
    exif._ifds[1] = {0x0201: 0, 0x0202: 0, 0x0103: 6}
    Image.fromarray(noise((40, 30))).save(tmp_path / "in.jpg", exif=exif, dpi=(300, 300))
    made = translator(Half).translate(tmp_path / "in.jpg")
    for name in ("out.jpg", "out.png", "out.tif", "out.webp", "out.avif"):
        (tmp_path / name).write_bytes(imagefile.encoded(made, tmp_path / name))
        with Image.open(tmp_path / name) as image:
            found = image.getexif()
            assert image.size == (30, 40) and found[MAKE] == "Maker" and ORIENTATION not in found, name
            photo = found.get_ifd(PHOTO)
            assert (photo[SIDES[0]], photo[SIDES[1]], photo[40961], float(photo[33434])) == (30, 40, 1, 1 / 60), name
            assert found.get_ifd(0x8825)[2] == (52.0, 30.0, 0.0) and not found.get_ifd(1), name
            assert name.endswith(("webp", "avif")) or np.allclose(image.info["dpi"], (300, 300), atol=0.1), name


def test_damaged_exif_is_left_out_and_said(tmp_path):
    Image.fromarray(noise((8, 8))).save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert translator(Half).translate(tmp_path / "a.png").size == (8, 8)


# Formats


def test_heic_where_its_library_is_installed(tmp_path):
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: it is in the extra heic")
    image = smooth((64, 48), grain=0).point(lambda level: level // 2 + 60)
    image.info["icc_profile"] = display_p3()
    (tmp_path / "a.heic").write_bytes(imagefile.encoded(image, tmp_path / "a.heic"))
    seen = imagefile.opened(tmp_path / "a.heic")
    error, unconverted = (np.abs(pixels(seen) - one).mean() for one in (p3_to_srgb(pixels(image)), pixels(image)))
    assert seen.size == (64, 48) and error < 4 and error < 0.8 * unconverted, "HEIC halves the resolution of colours"
    assert list(translate_files(translator(Half), tmp_path, tmp_path / "out")) == [(1, 1, None)]
    (tmp_path / "b.png").write_bytes((tmp_path / "out" / "a.heic").read_bytes())
    with pytest.raises(package.GanzooError, match="it is none of jpg"):
        imagefile.opened(tmp_path / "b.png")


def test_heic_without_its_library_is_counted_and_named(tmp_path, plugin, run, ganzoo):
    """A folder with an empty pillow_heif that cannot be imported stands before the installed one."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "pillow_heif.py").write_text("raise ImportError('not here')")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").touch()
    smooth((20, 20)).save(tmp_path / "in" / "b.png")
    env = {"PYTHONPATH": str(tmp_path / "site")}
    done = ganzoo("translate", run, "in", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0 and "pip install 'ganzoo[heic]': 1 (a.heic)" in done.stderr, done
    ganzoo("translate", run, "in/a.heic", "c.png", cwd=tmp_path, env=env).mistake("pip install 'ganzoo[heic]'", code=1)


# From Python


def test_arrays_tensors_and_lists():
    made, values = translator(Half), noise((9, 7))
    picture = made.translate(Image.fromarray(values))
    assert (pixels(made.translate(values)) == pixels(picture)).all()
    assert made.translate(values[:, :, 0]).mode == "RGB", "grey in, the domain's channels out"
    tensor = torch.rand(2, 3, 7, 9) * 2 - 1
    found = made.translate(tensor)
    assert found.shape == tensor.shape and torch.allclose(found, -0.5 * tensor - 0.25)
    assert torch.equal(made.translate(tensor[1]), found[1])
    several = made.translate([values, tensor[0], Image.fromarray(values)])
    assert [type(one) for one in several] == [Image.Image, torch.Tensor, Image.Image]
    assert (pixels(several[0]) == pixels(picture)).all() and torch.equal(several[1], found[0])
    for wrong in (values.astype(float), noise((3, 3), 5), np.zeros((0, 3, 3), np.uint8)):
        with pytest.raises(package.GanzooError, match=r"is no image: give \(height, width, channels\) as uint8"):
            made.translate(wrong)
    for wrong in (tensor[:, :2], tensor.byte(), tensor[0, 0]):
        with pytest.raises(package.GanzooError, match=r"is no image of this domain: give .* \(3, height, width\)"):
            made.translate(wrong)


def test_a_translator_says_what_it_is():
    made = translator(name="resnet", width=4, blocks=1)
    assert repr(made).startswith("<Translator cyclegan, x to y, y to x, 0 images of each domain at 32 px, ")
    made.recipe.__dict__["model"] = "<script>"
    assert "x to y" in made._repr_html_() and "&lt;script&gt;" in made._repr_html_()


# Through the program


def test_sizes_and_tiles_from_the_command_line(tmp_path, run, ganzoo):
    smooth((150, 120)).save(tmp_path / "a.png")
    made = package.load(run)
    for name, how, same in (("size.png", ("--size", 40), {"size": 40}), ("tile.png", ("--tile", 64), {"tile": 64}),
                            ("both.png", ("--size", 60, "--tile"), {"size": 60, "tile": 0})):  # fmt: skip
        done = ganzoo("translate", run, "a.png", name, "--device", "cpu", *how, cwd=tmp_path)
        assert done.returncode == 0, done
        assert (pixels(Image.open(tmp_path / name)) == pixels(made.translate(tmp_path / "a.png", **same))).all()
    both = ganzoo("translate", run, "a.png", "b.png", "--grid", "--gallery", "c.html", cwd=tmp_path)
    both.mistake("--grid shows all targets in one image: leave out --gallery")
    (tmp_path / "c.html").write_text("mine")
    ganzoo("translate", run, "a.png", "b.png", "--gallery", "c.html", cwd=tmp_path).mistake("is not overwritten")
    assert (tmp_path / "c.html").read_text() == "mine" and not (tmp_path / "b.png").exists()


# A folder of all of that

LARGE = (6000, 4000)
GIGABYTES = 3.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grey, transparent, 16 bits, CMYK, turned with a wide profile, tiny, large, animated, and two that are no images."""
    root = tmp_path_factory.mktemp("folder")
    for i, name in enumerate(("grey.jpg", "grey.png", "grey.webp")):
        Image.fromarray(noise((40, 30 + i))[:, :, 0]).save(root / name)
    for name in ("clear.png", "clear.tif", "clear.webp"):
        Image.fromarray(noise((24, 32), 4)).save(root / name)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(noise((20, 21))[:, :, 0].astype(np.uint16) * 257).save(root / name)
    smooth((48, 40)).convert("CMYK").save(root / "cmyk.jpg")
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Maker"
    smooth((64, 40), grain=0).save(root / "turned.jpg", exif=exif, icc_profile=display_p3(), dpi=(300, 300), quality=98)
    Image.fromarray(noise((1, 1))).save(root / "tiny.png")
    smooth((600, 400)).resize(LARGE).save(root / "large.jpg", quality=80)
    smooth((50, 40)).save(root / "a<b>&.avif")
    frames = [smooth((30, 20), seed) for seed in range(3)]
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    smooth((50, 40)).save(root / "old.jp2")
    smooth((400, 300)).save(root / "cut.jpg")
    (root / "cut.jpg").write_bytes((root / "cut.jpg").read_bytes()[:3000])
    (root / "text.jpg").write_text("not an image\n" * 50)
    (root / "notes.txt").write_text("nor this")
    return root


@pytest.fixture(scope="module")
def done(tmp_path_factory, folder, recipe, start, ganzoo):
    """The program's Result, what it wrote, the most memory it had in gigabytes, and the run."""
    where = tmp_path_factory.mktemp("done")
    changes = {"options.generator": {"name": "small", "width": 10}, "train.images": 2, "train.ema": 0.0}
    recipe(where, changes)
    assert ganzoo("run", "tiny.toml", "--out", "run", cwd=where).returncode == 0
    process, most = (
        start("translate", "run", folder, "out", "--device", "cpu", "--gallery", "page.html", cwd=where),
        0.0,
    )
    while process.running:
        with contextlib.suppress(OSError, IndexError, ValueError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int(status.split("VmHWM:")[1].split()[0]) / 1e6)
        time.sleep(0.05)
    return process.wait(), where, most


def test_two_are_named_and_all_others_translated(done, folder):
    result, where, most = done
    said = result.mistake(
        "cut.jpg cannot be read as an image", "text.jpg cannot be read as an image (it is none", code=1
    )
    assert said.count("\n  ") == 2
    assert "15 images translated from A to B" in result.stdout
    assert {path.name for path in (where / "out").iterdir()} == {path.name for path in folder.iterdir()} - {
        *("cut.jpg", "text.jpg", "notes.txt")
    }
    assert "files that are no images: 1 (notes.txt)" in result.stderr
    assert "moving.gif: it holds 3 images, of which the first is translated." in result.stderr
    assert "large.jpg: 6000x4000 pixels are too many for the memory at once: it is translated in tiles" in result.stderr
    assert most < GIGABYTES, "gigabytes at the most"


def test_sizes_modes_and_metadata_are_right(done, folder):
    _, where, _ = done
    made = package.load(where / "run")
    for path in (where / "out").iterdir():
        with Image.open(folder / path.name) as before, Image.open(path) as image:
            image.load()
            size = before.size[::-1] if path.name == "turned.jpg" else before.size
            assert image.size == size and image.format == before.format, path.name
            assert image.mode == ("RGBA" if "clear" in path.name else "P" if "gif" in path.name else "RGB"), path.name
            if "clear" in path.name:
                assert (pixels(image)[..., 3] == pixels(before)[..., 3]).all(), path.name
            if path.suffix == ".png":
                again = made.translate(folder / path.name)
                assert (pixels(again) == pixels(image)).all(), f"{path.name}: it does not depend on the others"
            if path.name == "turned.jpg":
                assert image.getexif()[MAKE] == "Maker" and ORIENTATION not in image.getexif()
                assert image.info["icc_profile"] == display_p3() and image.info["dpi"] == (300, 300)


def test_the_colours_that_the_networks_see_are_right(folder):
    """Each against what an independent path makes of the file."""
    turned = Image.open(folder / "turned.jpg").transpose(Image.Transpose.ROTATE_270)
    seen = imagefile.opened(folder / "turned.jpg")
    assert np.abs(pixels(seen) - p3_to_srgb(pixels(turned))).max() <= 2
    assert np.abs(pixels(imagefile.opened(folder / "deep.png")) - noise((20, 21))[:, :, 0]).max() <= 1
    cmyk = imagefile.opened(folder / "cmyk.jpg")
    assert cmyk.mode == "RGB" and np.abs(pixels(cmyk) - pixels(smooth((48, 40)))).mean() < 8


@pytest.mark.parametrize("viewport", [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_the_gallery_compares_by_pointer_and_keyboard(done, browser, viewport, tmp_path):
    _, where, _ = done
    page = browser.new_page(viewport=dict(zip(("width", "height"), viewport, strict=True)))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((where / "page.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("document.body.dataset.error") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll to the side"
    assert page.locator(".pair").count() == 15 and page.get_by_text("a<b>&.avif").count() == 1
    assert all(url.startswith(("file:", "data:")) for url in asked)
    pair = page.locator("li", has_text="large.jpg").locator(".pair")
    pair.scroll_into_view_if_needed()
    box = pair.bounding_box()
    assert abs(box["width"] / box["height"] - 1.5) < 0.02 and box["width"] > 0.75 * min(viewport[0], 560)
    at = "e => getComputedStyle(e).getPropertyValue('--at')"
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 30)
    page.mouse.up()
    assert abs(float(pair.evaluate(at).rstrip("%")) - 80) < 1
    page.keyboard.press("ArrowLeft")
    assert abs(float(pair.evaluate(at).rstrip("%")) - 79) < 1, "the pointer leaves the focus there"
    page.keyboard.press("Home")
    assert pair.evaluate(at) == "0%"
    slider = page.get_by_role("slider", name="large.jpg")
    assert slider.input_value() == "0" and slider.get_attribute("aria-valuetext") == "0%"
    drawn = pair.locator("img").evaluate_all("images => images.every(i => i.complete && i.naturalWidth > 0)")
    assert drawn
    page.close()


# Many at once

RESNET = {"name": "resnet", "width": 4, "blocks": 1}


class Batchwise(Half):
    """Depends on what else is in a batch."""

    def translate(self, images, source, target):
        return self.slope * (images - images.mean())


class Random(Half):
    """Draws at random, for each image of a batch something else."""

    def translate(self, images, source, target):
        return self.slope * images + 0.3 * torch.rand(len(images), 1, 1, 1)


class Counting(Half):
    """Counts the images that it is given at once, and refuses bright ones."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.counts = []

    def translate(self, images, source, target):
        self.counts.append(len(images))
        if images.amin((1, 2, 3)).max() > 0.9:
            raise package.GanzooError("too bright")
        return super().translate(images, source, target)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two sizes in turn, some of which are the same when padded, grey and transparent ones, and one that is cut."""
    folder = tmp_path_factory.mktemp("mixed")
    for i in range(5):
        Image.fromarray(noise((40, 30), seed=i)).save(folder / f"{i}-wide.png")
        Image.fromarray(noise((30, 38 + i % 3), seed=i)).save(folder / f"{i}-tall.png")
    Image.fromarray(noise((40, 30))[:, :, 0]).save(folder / "2-grey.png")
    Image.fromarray(noise((40, 30), 4)).save(folder / "3-clear.png")
    (folder / "1-cut.png").write_bytes((folder / "1-wide.png").read_bytes()[:500])
    return folder


@pytest.mark.parametrize(
    "generator", [RESNET, RESNET | {"norm": "batch", "upsample": "nearest"}], ids=["instance", "batch"]
)
def test_several_at_once_come_out_as_alone(generator, mixed, tmp_path):
    made = translator(**generator)
    alone = list(translate_files(made, mixed, tmp_path / "alone", say=str))
    assert made.at_once(made.style(), 8) == 8
    several = list(translate_files(made, mixed, tmp_path / "several", batch=8, say=str))
    assert alone == several and len(alone) == 13
    assert [failure is None for *_, failure in several].count(False) == 1
    ones, others = files(tmp_path / "alone"), files(tmp_path / "several")
    assert list(ones) and ones.keys() == others.keys() == files(mixed).keys() - {"1-cut.png"}
    for name in ones:
        one, other = (np.asarray(Image.open(io.BytesIO(found[name])), dtype=int) for found in (ones, others))
        assert np.abs(one - other).max() <= 1, name  # where rounding falls on the other side of a half
    style = made.style()
    images = [torch.from_numpy(noise((40, 30), seed=i)).permute(2, 0, 1) for i in range(3)]
    with made.trainer.inference():
        each = torch.cat([made._apply(image[None] / 127.5 - 1, style) for image in images])
        all_ = made._apply(torch.stack(images) / 127.5 - 1, style)
    assert (each - all_).abs().max() < 1e-6


@pytest.mark.parametrize("model", [Batchwise, Random])
def test_what_depends_on_a_batch_is_given_one_by_one(model, mixed, tmp_path):
    said, made = [], translator(model)
    assert made.at_once(made.style(), 4, said.append) == 1 and "one by one" in said[0]
    assert made.at_once(made.style()) == 1 and len(said) == 1, "on a processor that is so in any case"
    list(translate_files(made, mixed, tmp_path / "out", batch=4, say=str))
    for path in (tmp_path / "out").glob("*-wide.png"):
        assert (pixels(Image.open(path)) == pixels(made.translate(mixed / path.name))).all()


def test_one_that_fails_spoils_no_other(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(6):
        values = np.full((20, 20, 3), 255, np.uint8) if i == 2 else noise((20, 20), seed=i) // 2
        Image.fromarray(values).save(tmp_path / "in" / f"{i}.png")
    made = translator(Counting)
    at_once = made.at_once(made.style(), 3)
    made.trainer.counts.clear()
    done = list(translate_files(made, tmp_path / "in", tmp_path / "out", batch=at_once))
    assert [failure for *_, failure in done] == [None, None, "too bright", None, None, None]
    assert made.trainer.counts[-1] == 3, "three at once"
    for i in (0, 1, 3, 4, 5):
        expected = made.translate(tmp_path / "in" / f"{i}.png")
        assert (pixels(Image.open(tmp_path / "out" / f"{i}.png")) == pixels(expected)).all()


def test_a_gallery_keeps_the_order_and_variants_their_numbers(tmp_path, mixed):
    made = translator(**RESNET)
    list(translate_files(made, mixed, tmp_path / "out", batch=8, gallery=tmp_path / "page.html", say=str))
    page = (tmp_path / "page.html").read_text()
    places = [page.index(f"{i}-{kind}.png") for i in range(5) for kind in ("tall", "wide")]
    assert places == sorted(places)


# Fast


def test_fast_agrees_and_says_what_it_does():
    image = torch.from_numpy(noise((64, 48))).permute(2, 0, 1)
    made, said = translator(**RESNET), []
    exact = made.any_size(image, made.style())
    made.make_fast(said.append)
    (sentence,) = said
    assert sentence.startswith("Fast on cpu: ") and "channels last" in sentence and "compiled" not in sentence
    numbers = (
        "bfloat16," if torch.cpu._is_amx_tile_supported() else "float32, as this device has no units for bfloat16,"
    )
    assert sentence.startswith(f"Fast on cpu: {numbers}")
    assert (made.any_size(image, made.style()) - exact).abs().max() < 0.02 * (exact.max() - exact.min())


def test_where_there_is_no_compiler_it_goes_on_without(monkeypatch, tmp_path):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-compiler")))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    image = torch.from_numpy(noise((64, 48))).permute(2, 0, 1)
    made, said = translator(**RESNET), []
    exact = made.any_size(image, made.style())
    made.make_fast(said.append, compile=True)
    assert "not compiled (" in said[0], said
    assert (made.any_size(image, made.style()) - exact).abs().max() < 0.02 * (exact.max() - exact.min())


def test_fast_from_the_command_line(tmp_path, run, ganzoo):
    smooth((40, 30)).save(tmp_path / "a.png")
    done = ganzoo("translate", run, "a.png", "b.png", "--fast", "--batch", 2, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0 and "Fast on cpu: " in done.stderr, done
    expected = package.load(run).translate(tmp_path / "a.png")
    assert np.abs(pixels(Image.open(tmp_path / "b.png")) - pixels(expected)).max() <= 8


# Colour profiles


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
def test_a_result_has_the_profile_of_its_image(tmp_path, name):
    """What is seen in the result is the translation of what is seen in the image, both in Display P3."""
    (tmp_path / "in").mkdir()
    image = smooth((40, 30), grain=0).point(lambda level: level // 3 + 90)
    image.save(tmp_path / "in" / name, icc_profile=display_p3(), quality=100)
    assert list(translate_files(translator(Half), tmp_path / "in", tmp_path / "out")) == [(1, 1, None)]
    with Image.open(tmp_path / "in" / name) as before, Image.open(tmp_path / "out" / name) as after:
        assert after.info["icc_profile"] == display_p3()
        seen, shown = p3_to_srgb(pixels(before.convert("RGB"))), p3_to_srgb(pixels(after.convert("RGB")))
        wanted = pixels(Image.fromarray(seen.round().astype(np.uint8))) * -0.5 + 0.5 * 127.5 + 127.5 * 0.75
        assert np.abs(shown - wanted).max() <= (3 if name == "a.png" else 14)
        assert np.abs(shown - wanted).mean() <= (1 if name == "a.png" else 3)
        assert np.abs(pixels(after.convert("RGB")) - wanted).max() > 4, "which makes a difference"


def test_transparency_and_exif_go_with_a_profile(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update({40961: 65535})
    values = noise((20, 10), 4)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=display_p3(), exif=exif)
    made = translator(Half).translate(tmp_path / "a.png")
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(made.info["icc_profile"])))
    with Image.open(io.BytesIO(imagefile.encoded(made, tmp_path / "b.png"))) as image:
        assert image.mode == "RGBA" and (pixels(image)[..., 3] == values[..., 3]).all()
        assert image.info["icc_profile"] == display_p3()
        assert image.getexif().get_ifd(0x8769)[40961] == 65535, "not sRGB"
    with Image.open(io.BytesIO(imagefile.encoded(made, tmp_path / "b.bmp"))) as image:
        white = Image.alpha_composite(Image.new("RGBA", made.size, "white"), made).convert("RGB")
        assert (pixels(image) == pixels(white)).all(), "sRGB, as a BMP has no profile"


def test_profiles_that_are_damaged_or_not_of_rgb_give_srgb(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"no profile", display_p3()[:200], lab):
        said: list[str] = []
        Image.fromarray(noise((8, 8))).save(tmp_path / "a.png", icc_profile=profile)
        made = translator(Half).translate(tmp_path / "a.png", say=said.append)
        with Image.open(io.BytesIO(imagefile.encoded(made, tmp_path / "b.png"))) as image:
            assert image.info.get("icc_profile") in (None, imagefile.srgb_profile())
        assert profile == lab or (len(said) == 1 and "taken for sRGB" in said[0])


def test_what_was_srgb_stays_so_to_the_bit(tmp_path):
    image = Image.fromarray(noise((16, 16)))
    made = translator(Half).translate(image)
    image.info["icc_profile"] = imagefile.srgb_profile()
    again = translator(Half).translate(image)
    with Image.open(io.BytesIO(imagefile.encoded(made, tmp_path / "a.png"))) as plain:
        assert (pixels(plain) == pixels(made)).all() and "icc_profile" not in plain.info
    with Image.open(io.BytesIO(imagefile.encoded(again, tmp_path / "a.png"))) as tagged:
        assert (pixels(tagged) == pixels(again)).all() and tagged.info["icc_profile"] == imagefile.srgb_profile()
