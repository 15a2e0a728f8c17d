"""Images as users have them: opened for translation with what the result keeps of them, and written.

An image that is opened here has 8 bits a channel, is turned the right way up, in sRGB, and of mode L, LA, RGB or RGBA.
Its `info` holds what a result keeps: `exif`, `dpi` and, if it had a colour profile, sRGB's as `icc_profile`, and as
`own_profile` the one that it had, if colours can be converted back to it.
"""

import io
import math
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, ImageOps

from ganzoo.data.images import FORMATS, convert, decoded, eight_bits, unreadable
from ganzoo.errors import GanzooError

ImageLike = Image.Image | str | Path
Say = Callable[[str], object]
HEIF = {".heic", ".heif", ".hif"}
HEIC_NEEDED = "HEIC images need pillow-heif: pip install 'ganzoo[heic]'"
WITHOUT_ALPHA = ("JPEG", "BMP", "PPM")
SEQUENCES = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")  # formats that may hold several images
DESCRIPTIVE = {
    *(270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432),
    *range(40091, 40096),
    *(34665, 34853),
}
"""EXIF tags that a translation keeps: they say what was taken when and how; others say how a file is laid out"""
EXIF, COLOUR_SPACE, SIDES = 34665, 40961, (40962, 40963)
MOST_EXIF = 65_000  # bytes; JPEG holds no more
PROFILED = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")  # formats that hold a colour profile
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of a profile that fits an image's mode


@cache
def suffixes() -> frozenset[str]:
    """Those of image files that can be read and written here, in lower case."""
    written = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS and kind in Image.SAVE
    }
    return frozenset(written | (HEIF if _reads_heif() else set()))


@cache
def _reads_heif() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def opened(image: ImageLike, say: Say = str) -> Image.Image:
    """An image, or the one in a file, as this module says; `say` is given what of it was not used.

    Raises GanzooError where it cannot be read, or its numbers cannot be shown as they are.
    """
    if isinstance(image, Image.Image):
        try:
            return _standard(image, say)
        except ValueError as error:
            raise GanzooError(f"The image cannot be used: {error}.") from None
    path = Path(image)
    heif = path.suffix.lower() in HEIF
    if heif and not _reads_heif():
        raise GanzooError(f"{path} cannot be read here. {HEIC_NEEDED}")
    try:
        with decoded(path, (*FORMATS, "HEIF") if heif else FORMATS) as raw:
            return _standard(raw, say)
    except Exception as error:  # which ones decoders raise for damaged files is not documented
        raise GanzooError(f"{unreadable(path, error)}.") from error


def pixels(path: Path) -> int:
    """How many an image file says that it has; 0 where it cannot be asked."""
    heif = path.suffix.lower() in HEIF and _reads_heif()
    with suppress(Exception), Image.open(path, formats=(*FORMATS, "HEIF") if heif else FORMATS) as image:
        return image.width * image.height
    return 0


def _standard(image: Image.Image, say: Say) -> Image.Image:
    """Raises ValueError for numbers that cannot be shown as they are."""
    if image.format in SEQUENCES and getattr(image, "n_frames", 1) > 1:
        say(f"it holds {image.n_frames} images, of which the first is translated")  # type: ignore[attr-defined]
    profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    colour = eight_bits(ImageOps.exif_transpose(image))
    kept: dict[str, Any] = {}
    alpha = None
    if colour.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in colour.info:
        grey = colour.mode in ("1", "L", "LA", "La")
        if colour.mode in ("La", "RGBa"):
            colour = colour.convert(colour.mode.upper())
        colour = colour.convert("LA" if grey else "RGBA")
        alpha = colour.getchannel("A")
    if profile and (matched := _srgb(colour, profile, say)):
        back = _to_own(matched.crop((0, 0, 1, 1)), profile, say)
        colour, kept["icc_profile"], kept["own_profile"] = matched, srgb_profile(), profile if back else None
    kept["exif"] = _exif(image, colour.size, say, COLOUR_SPACE if kept.get("own_profile") else None)
    mode = "L" if colour.mode in ("1", "L", "LA") else "RGB"
    colour = colour.convert(mode)
    if alpha:
        colour.paste("white", mask=alpha.point([255] + [0] * 255))  # whatever the file hides where nothing is seen
        colour.putalpha(alpha)
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(math.isfinite(d) and 1 <= d < 2**16 for d in map(float, dpi)):
        kept["dpi"] = tuple(map(float, dpi))
    colour.info = {key: value for key, value in kept.items() if value}
    return colour


def _srgb(image: Image.Image, profile: bytes, say: Say) -> Image.Image | None:
    """The colours of an image as sRGB has them; None where its profile cannot be used."""
    image = image.convert(image.mode.removesuffix("A")) if image.mode in ("LA", "RGBA") else image
    image = image if image.mode in SPACES else image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[image.mode]:
            return None
        target = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        return ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except Exception as error:  # Pillow's own, and those of profiles that are none
        say(f"its colour profile cannot be used ({error}), so its colours are taken for sRGB")
        return None


@cache
def srgb_profile() -> bytes:
    """The same bytes at any time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07d0 0001 0001 0000 0000 0000")  # when it was made
    return bytes(profile)


def _to_own(image: Image.Image, profile: bytes, say: Say = str) -> Image.Image | None:
    """An image in sRGB in the colours of a profile; None where that is not of RGB, or serves one direction only."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    try:
        target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if target.profile.xcolor_space.strip() != "RGB":
            return None
        source = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
        image = ImageCms.profileToProfile(image.convert("RGB"), source, target)  # type: ignore[assignment]
    except Exception as error:  # as in `_srgb`
        say(f"its colour profile cannot be kept ({error}), so the result is in sRGB")
        return None
    if alpha:
        image.putalpha(alpha)
    return image


def _exif(image: Image.Image, size: tuple[int, int], say: Say, kept: int | None = None) -> bytes:
    """What the EXIF data say of a photograph, without orientation, thumbnail and what belongs to the file's layout.

    They say that the colours are sRGB's, unless that tag is `kept`.
    """
    try:
        exif = image.getexif()
        for tag in set(exif) - DESCRIPTIVE:
            del exif[tag]
        if not exif:
            return b""
        photo = exif.get_ifd(EXIF)
        for tag, value in (*zip(SIDES, size, strict=True), (COLOUR_SPACE, 1)):
            if tag in photo and tag != kept:
                photo[tag] = value
        content = exif.tobytes()
    except Exception as error:  # damaged data raise anything
        say(f"its EXIF data are left out: they cannot be read ({error})")
        return b""
    if len(content) > MOST_EXIF:
        say(f"its EXIF data are left out: they are longer than {MOST_EXIF} bytes")
        return b""
    return content


def encoded(image: Image.Image, path: Path) -> bytes:
    """The file that the image should be at `path`, in the format that this name says, with what its `info` holds.

    Its colours are those of its own profile, where the format holds one, else sRGB's.

    Raises GanzooError where the format cannot hold it.
    """
    kind = image_format(path)
    kept = {key: image.info[key] for key in ("exif", "icc_profile", "dpi") if image.info.get(key)}
    if kind in WITHOUT_ALPHA:
        image = convert(image, 1 if image.mode in ("L", "LA") else 3)
    if image.mode in ("L", "LA"):
        kept.pop("icc_profile", None)  # which is one of colours
    own = image.info.get("own_profile")
    wanted = own != srgb_profile() and kind in PROFILED and image.mode in ("RGB", "RGBA")
    if own and wanted and (converted := _to_own(image, own)):
        image, kept["icc_profile"] = converted, own
    try:
        image.save(file := io.BytesIO(), format=kind, quality=95, compress_level=3, **kept)
    except (OSError, ValueError) as error:  # of one that is too large for the format, say
        raise GanzooError(f"{path} cannot be written as {kind} ({error}). Give it another suffix.") from error
    return file.getvalue()


def image_format(path: Path) -> str:
    """Pillow's name of the format that a suffix stands for. Raises GanzooError for one that it cannot write."""
    suffix = path.suffix.lower()
    if suffix in HEIF and not _reads_heif():
        raise GanzooError(f"{path} cannot be written here. {HEIC_NEEDED}")
    kind = Image.registered_extensions().get(suffix, "")
    if kind not in Image.SAVE:
        raise GanzooError(f'{path}: "{path.suffix}" is no kind of image that can be written. Use .png or .jpg.')
    return kind
