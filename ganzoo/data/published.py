"""What a published archive is, and those of the CycleGAN and pix2pix authors. Light: `ganzoo data list` imports it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from urllib.parse import urlsplit

from ganzoo.registry import registry

UNPAIRED = ("trainA", "trainB", "testA", "testB")
SIDE_BY_SIDE = ("train",)  # each image holds a pair


@dataclass(frozen=True, kw_only=True)
class Published(ABC):
    """A file that somebody publishes: what `ganzoo.Archive` and `ganzoo.Pretrained` have in common."""

    name: str
    """of what is kept of it in the cache"""
    urls: tuple[str, ...]
    """mirrors, best first; empty if it cannot be downloaded, and then `licence` says why and what to do"""
    licence: str
    """sentences, shown before the download"""
    bytes: int | None = None
    """size of the file; None if not published"""
    sha256: str | None = None
    """of the file; None if not published, and then the first download is trusted and recorded"""

    @property
    def file(self) -> str:
        """What the file is called, also in a folder of $GANZOO_MIRROR: the last part of its address."""
        return urlsplit(self.urls[0]).path.rpartition("/")[2]

    @property
    def key(self) -> str:
        """Under which its checksum is recorded in the cache."""
        return self.name

    @property
    @abstractmethod
    def by_hand(self) -> str:
        """What to do with another file than the expected one, or without any."""

    @property
    @abstractmethod
    def without_network(self) -> str:
        """What to do where it cannot be downloaded."""


@dataclass(frozen=True, kw_only=True)
class Archive(Published):
    """A published zip or tar file of images, in folders that the source "folders" understands."""

    domains: tuple[str, ...]
    """what trainA, trainB ... are, or the left and the right half of pairs, or the domains' folders"""
    layout: tuple[str, ...] = UNPAIRED
    """folders in it; the first tells where in the archive they are"""
    counts: tuple[int, ...] = ()
    """images in the folders of `layout`; empty if not published"""

    @property
    def by_hand(self) -> str:
        """Unpacking it oneself."""
        return 'unpack it yourself and set `data.source = "folders"` and `data.root = "FOLDER"`'

    @property
    def without_network(self) -> str:
        """A copy of the file, or another source."""
        copy = 'download the file by hand and set `data.archive = "FILE"`'
        return f"{copy}, or set `data.fallback` to a source that needs no download"


def find(name: str) -> Archive:
    """The registered archive of that name. Raises GanzooError if there is none or it does not load."""
    archive: Archive = registry().load("archive", name)
    return archive


_HOST = "efrosgans.eecs.berkeley.edu"
_RIGHTS = "No licence is published with it: the rights stay with their owners, so check before you pass anything on."
_PAINTINGS = f"Paintings from WikiArt, photographs from Flickr. {_RIGHTS}"
_FLICKR, _IMAGENET = f"Photographs from Flickr. {_RIGHTS}", f"Photographs from ImageNet. {_RIGHTS}"
_FACADE, _GOOGLE = f"From the CMP Facade Database. {_RIGHTS}", f"Images from Google Maps. {_RIGHTS}"


def _zip(name: str, a: str, b: str, counts: tuple[int, ...], size: int, sha256: str, licence: str) -> Archive:
    urls = tuple(f"{scheme}://{_HOST}/cyclegan/datasets/{name}.zip" for scheme in ("https", "http"))
    return Archive(name=name, domains=(a, b), urls=urls, licence=licence, counts=counts, bytes=size, sha256=sha256)


def _tar(name: str, a: str, b: str, counts: tuple[int, ...], licence: str) -> Archive:
    urls = (f"https://{_HOST}/pix2pix/datasets/{name}.tar.gz",)  # without a checksum never over http
    return Archive(
        name=f"pix2pix_{name}", domains=(a, b), urls=urls, licence=licence, layout=SIDE_BY_SIDE, counts=counts
    )


# fmt: off
APPLE2ORANGE = _zip("apple2orange", "apple", "orange", (995, 1019, 266, 248), 78456409,
                    "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", _IMAGENET)
CEZANNE2PHOTO = _zip("cezanne2photo", "cezanne", "photo", (525, 6287, 58, 751), 279885071,
                     "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", _PAINTINGS)
FACADES = _zip("facades", "photo", "label", (400, 400, 106, 106), 35135868,
               "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", _FACADE)
HORSE2ZEBRA = _zip("horse2zebra", "horse", "zebra", (1067, 1334, 120, 140), 116867962,
                   "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", _IMAGENET)
IPHONE2DSLR_FLOWER = _zip("iphone2dslr_flower", "iphone", "dslr", (1812, 3325, 569, 480), 339964458,
                          "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", _FLICKR)
MAPS = _zip("maps", "aerial", "map", (1096, 1096, 1098, 1098), 1476754427,
            "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", _GOOGLE)
MONET2PHOTO = _zip("monet2photo", "monet", "photo", (1072, 6287, 121, 751), 305231073,
                   "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", _PAINTINGS)
SUMMER2WINTER_YOSEMITE = _zip("summer2winter_yosemite", "summer", "winter", (1231, 962, 309, 238), 132640856,
                              "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", _FLICKR)
UKIYOE2PHOTO = _zip("ukiyoe2photo", "ukiyoe", "photo", (562, 6287, 263, 751), 292946532,
                    "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", _PAINTINGS)
VANGOGH2PHOTO = _zip("vangogh2photo", "vangogh", "photo", (400, 6287, 400, 751), 306590349,
                     "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", _PAINTINGS)
PIX2PIX_FACADES = _tar("facades", "photo", "label", (400,), _FACADE)
PIX2PIX_MAPS = _tar("maps", "aerial", "map", (1096,), _GOOGLE)
PIX2PIX_EDGES2SHOES = _tar("edges2shoes", "edges", "shoes", (),
                           f"Shoes of UT Zappos50K, edges by HED. {_RIGHTS}")
PIX2PIX_EDGES2HANDBAGS = _tar("edges2handbags", "edges", "handbags", (),
                              f"Amazon handbags of the iGAN project, edges by HED. {_RIGHTS}")
PIX2PIX_NIGHT2DAY = _tar("night2day", "night", "day", (), f"From the Transient Attributes dataset. {_RIGHTS}")
# fmt: on
CITYSCAPES = Archive(
    name="cityscapes",
    domains=("photo", "label"),
    urls=(),
    licence="Its publishers withdrew it for licence reasons: get the images from https://www.cityscapes-dataset.com "
    'and set `data.source = "folders"` and `data.root = "FOLDER"`.',
)
