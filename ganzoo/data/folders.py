"""Your own images: the folder layouts that people have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganzoo.data import labelled
from ganzoo.data.images import ImageRef, find_images, natural
from ganzoo.data.sources import Source
from ganzoo.data.splits import TEST_NAMES, explain, folders, split
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.runfolder import RunFolder

EXPECTED = """Expected one of:
  {root}/trainA  trainB  testA  testB        (testA, testB may be missing)
  {root}/train/NAME  train/OTHER  test/NAME  test/OTHER
  {root}/NAME/train  NAME/test  OTHER/train  OTHER/test
  {root}/NAME  OTHER                         (one folder of images for each domain)"""


class Folders(Source):
    """`data.root` in any of the layouts in `EXPECTED`; domains are named after folders or as `data.domains` says.

    Without test folders every 20th image, 50 at most, is held out for testing, if a domain has at least 40 images;
    a smaller domain is tested on its training images.

    Paired images are files of the same name in two domains, or files that hold both side by side (left is the first
    domain). Asked for as unpaired ones, the first half of such files gives the left, the second half the right
    images, so that no pair is seen; those for testing stay pairs. Labelled images are one folder a class, or any
    images with an attribute file (`data.labels`).
    """

    kinds = ("unpaired", "paired", "domains", "labelled", "images")

    def __init__(self, options: DataOptions, kind: str) -> None:
        if not options.root:
            raise GanzooError('data.source is "folders": set data.root to the folder that holds your images.')
        self.root = Path(options.root).expanduser()
        if not self.root.is_dir():
            raise GanzooError(f"data.root: there is no folder {self.root}. Create it or correct the path.")
        if RunFolder.is_run(self.root):
            raise GanzooError(f"data.root: {self.root} is the folder of a run. Give the one that your images are in.")
        if kind == "labelled":
            self.labels, self.groups, images = labelled.read(self.root, options)
            self.domains, self._images = ("image",), {"image": images}
        elif kind == "images":
            train, test = _first([self.root / "train"]) or self.root, _first(self.root / name for name in TEST_NAMES)
            self.domains, self._images = ("image",), {"image": split("image", train, test)}
        elif kind in ("paired", "unpaired") and (files := _side_by_side(self.root)):
            self.domains, self.ground_truth = options.domains or ("A", "B"), True
            if len(self.domains) != 2:
                raise GanzooError(
                    f"{self.root} holds pairs side by side, so data.domains should name two domains, left and right; "
                    f"it names {len(self.domains)}{_listed(self.domains)}."
                )
            self._images = {
                domain: {part: [Half(p, side) for p in paths] for part, paths in files.items()}
                for side, domain in enumerate(self.domains)
            }
            if kind == "unpaired":
                left, right = (self._images[domain] for domain in self.domains)
                middle = (len(left["train"]) + 1) // 2
                left["train"], right["train"] = left["train"][:middle], right["train"][middle:] or right["train"]
        else:
            found = find_layout(self.root, options.domains)
            needed = "two" if kind in ("unpaired", "paired") else "at least two"
            if len(found) < 2 or (needed == "two" and len(found) > 2):
                raise GanzooError(
                    f"{self.root} should hold {needed} domains, {len(found)} found{_listed(found)}. "
                    f"{'Name the two with data.domains. ' if len(found) > 2 else ''}{explain(self.root, EXPECTED)}"
                )
            self.domains = tuple(found)
            self._images = {domain: split(domain, *folders) for domain, folders in found.items()}
            if kind == "paired":
                self._check_pairs()

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self._images[domain][split]

    def _check_pairs(self) -> None:
        self.ground_truth = True
        for part in ("train", "test"):
            first, second = ({p.path.stem: p.path for p in self._images[d][part]} for d in self.domains)
            for name in sorted(first.keys() ^ second.keys())[:1]:
                lonely = first.get(name) or second[name]
                raise GanzooError(
                    f"{lonely} has no partner: pairs are files of the same name in {' and '.join(self.domains)} "
                    f"({len(first)} and {len(second)} in {part}). Add the missing one or remove it."
                )


@dataclass(frozen=True)
class Half(ImageRef):
    """The left (0) or right (1) half of an image that holds a pair side by side."""

    side: int

    def open(self) -> Image.Image:
        both = super().open()
        if both.width % 2:
            raise GanzooError(f"{self.path} should hold two images side by side, but its width, {both.width}, is odd.")
        half = both.width // 2
        return both.crop((self.side * half, 0, (self.side + 1) * half, both.height))


def _side_by_side(root: Path) -> dict[str, list[Path]]:
    """Images that lie in train and test themselves, not in folders of their own."""
    train = find_images(root / "train", recursive=False) if (root / "train").is_dir() else []
    test = next((find_images(root / t, recursive=False) for t in TEST_NAMES if (root / t).is_dir()), [])
    return {"train": train, "test": test or train} if train else {}


Layout = dict[str, tuple[Path, Path | None]]  # domain -> folders of training and test images


def find_layout(root: Path, names: Sequence[str] = ()) -> Layout:
    """The domains under a folder. `names` choose among named folders, or name trainA, trainB ... in their order."""
    return _lettered(root, names) or _chosen(_split_first(root) or _domain_first(root) or _flat(root), root, names)


def _lettered(root: Path, names: Sequence[str]) -> Layout:
    """trainA, trainB, testA, testB; also train0 ... trainN."""
    letters = sorted((m[1] for p in folders(root) if (m := re.fullmatch(r"train([A-Z]|\d+)", p.name))), key=natural)
    if not letters:
        return {}
    if names and len(names) != len(letters):
        found = ", ".join(f"train{letter}" for letter in letters)
        raise GanzooError(f"data.domains names {len(names)} domains, but {root} holds {len(letters)}: {found}.")
    tests = {letter: _first(root / f"{test}{letter}" for test in TEST_NAMES) for letter in letters}
    return {name: (root / f"train{x}", tests[x]) for name, x in zip(names or letters, letters, strict=True)}


def _split_first(root: Path) -> Layout:
    """train/NAME, test/NAME."""
    if not (root / "train").is_dir():
        return {}
    return {p.name: (p, _first(root / test / p.name for test in TEST_NAMES)) for p in folders(root / "train")}


def _domain_first(root: Path) -> Layout:
    """NAME/train, NAME/test."""
    with_train = [p for p in folders(root) if (p / "train").is_dir()]
    return {p.name: (p / "train", _first(p / test for test in TEST_NAMES)) for p in with_train}


def _flat(root: Path) -> Layout:
    """NAME: one folder a domain."""
    return {p.name: (p, None) for p in folders(root) if find_images(p)}


def _chosen(layout: Layout, root: Path, names: Sequence[str]) -> Layout:
    for name in names:
        if name not in layout:
            there = _listed(layout) or " no domains"
            raise GanzooError(f'data.domains names "{name}", but {root} has{there}. {explain(root, EXPECTED)}')
    return {name: layout[name] for name in names} if names else layout


def _first(candidates) -> Path | None:
    return next((path for path in candidates if path.is_dir()), None)


def _listed(names) -> str:
    return f": {', '.join(names)}" if names else ""
