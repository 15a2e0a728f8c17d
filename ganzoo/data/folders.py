"""Your own images: the folder layouts that people have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ganzoo.data import labelled
from ganzoo.data.images import KINDS, ImageRef, ImageRefs, LeftOut, has_images, image_names, natural, tell
from ganzoo.data.sources import Source, check_known, held_out
from ganzoo.errors import GanzooError
from ganzoo.files import expanded
from ganzoo.options import DataOptions
from ganzoo.runfolder import RunFolder

TEST_NAMES = ("test", "val", "valid", "validation")
MOST_LABELLED = 2000  # images with attributes that are held out for testing: about as many as StarGAN tests on
EXPECTED = """Expected one of:
  {root}/trainA  trainB  testA  testB        (testA, testB may be missing)
  {root}/train/NAME  train/OTHER  test/NAME  test/OTHER
  {root}/NAME/train  NAME/test  OTHER/train  OTHER/test
  {root}/NAME  OTHER                         (one folder of images for each domain, or for each class)
Found:
{found}"""
Layout = dict[str, tuple[Path, Path | None]]  # domain, or class -> folders of training and test images
Split = dict[str, ImageRefs]  # "train" and "test" -> images


class Folders(Source):
    """`data.root` in any of the layouts in `EXPECTED`; domains are named after folders or as `data.domains` says.

    Without test folders every 20th image, 50 at most, is held out for testing, if a domain has at least 40 images;
    a smaller domain is tested on its training images.

    Paired images are files of the same name in two domains, whatever their suffix, in sub-folders of the same name if
    in any, or files that hold both side by side (left is the first domain). Asked for as unpaired ones, the first half
    of such files gives the left, the second half the right images, so that no pair is seen; those for testing stay
    pairs. Labelled images are one folder a class, or any images with an attribute file (`data.labels`).
    """

    kinds = ("unpaired", "paired", "domains", "labelled", "images")

    def __init__(self, options: DataOptions, kind: str) -> None:
        if not options.root:
            raise GanzooError('data.source is "folders": set data.root to the folder that holds your images.')
        self.root = expanded(options.root)
        if not self.root.is_dir():
            raise GanzooError(f"data.root: there is no folder {self.root}. Create it or correct the path.")
        if RunFolder.is_run(self.root):
            raise GanzooError(f"data.root: {self.root} is the folder of a run. Give the one that your images are in.")
        self._images: dict[str, Split] = {}
        self._left_out: LeftOut = {}
        train, test = _splits(self.root)
        if kind == "labelled" and options.labels:
            self.labels, images = labelled.read(self.root, options, self._left_out)
            self.groups, self._images["image"] = options.groups, _hold_out(images, MOST_LABELLED)
        elif kind == "labelled":
            self._images["image"] = self._classes(options)
        elif kind == "images":
            self._images["image"] = self._split("image", train if train.is_dir() else self.root, test)
        elif kind in ("paired", "unpaired") and (pairs := self._find(train, recursive=False)):
            self._side_by_side(kind, options.domains or ("A", "B"), pairs, test)
        else:
            layout = find_layout(self.root, options.domains, self._left_out)
            if len(layout) < 2:
                found = ", ".join(layout)
                raise GanzooError(
                    f"{self.root} should hold two domains or more, {len(layout)} found: {found}. {_explain(self.root)}"
                )
            if kind == "paired":
                self._images = self._pairs(layout)
            else:
                self._images = {domain: self._split(domain, *folders) for domain, folders in layout.items()}
        self.domains = self.domains or tuple(self._images)
        self.left_out = tell(self._left_out, self.root)
        self._left_out = {}

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self._images[domain][split]

    def _classes(self, options: DataOptions) -> Split:
        """Of the classes in folders, exactly one holds for an image."""
        layout = find_layout(self.root, options.attributes, self._left_out)
        if len(layout) < 2:
            raise GanzooError(
                f"The images in {self.root} have no labels: sort them into folders, or name an attribute file with "
                f"data.labels. {_explain(self.root)}"
            )
        if options.groups:
            raise GanzooError("data.groups is for attribute files. Leave it out: of classes one always holds.")
        self.labels = tuple(layout)
        self.groups = (self.labels,)
        splits = [self._split(name, *folders) for name, folders in layout.items()]
        return {part: self._labelled([split[part] for split in splits]) for part in ("train", "test")}

    def _labelled(self, classes: list[ImageRefs]) -> ImageRefs:
        names = [name for images in classes for name in images.names]
        labels = np.repeat(np.eye(len(classes), dtype=np.float32), [len(images) for images in classes], axis=0)
        return ImageRefs(self.root, names, labels)

    def _side_by_side(self, kind: str, domains: tuple[str, ...], pairs: list[str], test: Path | None) -> None:
        """Images that lie in train and test themselves, not in folders of their own, each a pair."""
        self.domains, self.ground_truth = domains, True
        middle = (len(pairs) + 1) // 2
        trained = (pairs[:middle], pairs[middle:] or pairs) if kind == "unpaired" else (pairs, pairs)
        tested = self._find(test, recursive=False) if test else []
        for side, domain in enumerate(domains[:2]):
            parts = {"train": trained[side], "test": tested or pairs}
            half = partial(Half, side=side)
            self._images[domain] = {part: ImageRefs(self.root, names, make=half) for part, names in parts.items()}

    def _pairs(self, layout: Layout) -> dict[str, Split]:
        """Domains that all have the same names in the same order."""
        self.ground_truth = True
        trained = {domain: self._named(train) for domain, (train, _) in layout.items()}
        tested = {domain: self._named(test) if test else {} for domain, (_, test) in layout.items()}
        for part, named in (("train", trained), ("test", tested)):
            for domain, there in named.items():
                for lonely in sorted(set().union(*named.values()) - there.keys()):
                    raise GanzooError(
                        f'"{lonely}" has no partner in {domain} ({part}): pairs are files of the same name in '
                        f"{' and '.join(named)}, in sub-folders of the same name if in any. Add the missing one or "
                        "remove the other."
                    )
        return {
            domain: self._divide(
                domain, train, [*trained[domain].values()], [*tested[domain].values()] if test else None
            )
            for domain, (train, test) in layout.items()
        }

    def _named(self, folder: Path) -> dict[str, str]:
        """The images in a folder by their path in it without the suffix, in the order of these names."""
        found: dict[str, str] = {}
        for file in self._find(folder):
            name = (self.root / file).relative_to(folder).with_suffix("").as_posix()
            if name in found:
                both = f"{self.root / found[name]} and {self.root / file}"
                raise GanzooError(f"{both} have one name: which is the partner? Remove one.")
            found[name] = file
        return {name: found[name] for name in sorted(found, key=lambda name: (natural(name), name))}

    def _split(self, domain: str, train: Path, test: Path | None) -> Split:
        return self._divide(domain, train, self._find(train), self._find(test) if test else None)

    def _divide(self, domain: str, folder: Path, train: list[str], test: list[str] | None) -> Split:
        """Images to train on, and to test on: those of a folder for it, if there is one, else some held out."""
        if not train:
            raise GanzooError(f'The domain "{domain}" is empty: put images ({KINDS}) into {folder}.')
        images = ImageRefs(self.root, train)
        if test is None:
            return _hold_out(images)
        return {"train": images, "test": ImageRefs(self.root, test) if test else images}

    def _find(self, folder: Path, recursive: bool = True) -> list[str]:
        """Paths of images in a folder, below the root."""
        below = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        return [f"{below}{name}" for name in image_names(folder, recursive, self._left_out)]


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


def find_layout(root: Path, names: Sequence[str], left_out: LeftOut) -> Layout:
    """The domains, or classes, under a folder; `left_out` is told what else might have been one.

    `names` choose among named folders, or name trainA, trainB ... (or train0 ... trainN) in their order.
    """
    inside = _folders(root)
    left_out["broken links and devices"] = [path for path in root.glob("[!.]*") if not path.exists()]
    letters = sorted((m[1] for p in inside if (m := re.fullmatch(r"train([A-Z]|\d+)", p.name))), key=natural)
    if letters:
        if names and len(names) != len(letters):
            found = ", ".join(f"train{letter}" for letter in letters)
            raise GanzooError(f"data.domains names {len(names)} domains, but {root} holds {len(letters)}: {found}.")
        return {name: _splits(root, letter) for name, letter in zip(names or letters, letters, strict=True)}
    layout: Layout = {p.name: _splits(root, f"/{p.name}") for p in _folders(root / "train")}
    inside = [] if layout else inside
    layout = layout or {p.name: _splits(p) for p in inside if (p / "train").is_dir()}
    layout = layout or {p.name: (p, None) for p in inside if p.name not in TEST_NAMES and has_images(p)}
    check_known(f"{root} has no folder", names, layout)
    if not names:
        left_out["folders without images to train on"] = [path for path in inside if path.name not in layout]
    return {name: layout[name] for name in names or layout}


def _splits(root: Path, rest: str = "") -> tuple[Path, Path | None]:
    """The folders of training and of test images, if there is one; `rest` is what follows "train" and "test"."""
    train, *tests = (root / f"{name}{rest}" for name in ("train", *TEST_NAMES))
    return train, next((test for test in tests if test.is_dir()), None)


def _hold_out(images: ImageRefs, *most: int) -> Split:
    return dict(zip(("train", "test"), map(images.take, held_out(len(images), *most)), strict=True))


def _explain(root: Path) -> str:
    """The tree that was expected beside the tree that was found."""
    lines = []
    for folder in [root, *_folders(root), *(sub for f in _folders(root) for sub in _folders(f))][:20]:
        count = len(image_names(folder, recursive=False))
        lines.append(f"  {folder}  ({count} image{'s' if count != 1 else ''})")
    return EXPECTED.format(root=root, found="\n".join(lines))


def _folders(root: Path) -> list[Path]:
    """The folders in a folder in natural order, hidden ones left out."""
    found = (p for p in root.glob("*") if p.is_dir() and p.name[0] not in "._")
    return sorted(found, key=lambda p: natural(p.name))
