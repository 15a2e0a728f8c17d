"""A look at a data set before it is trained on: counts, sizes, broken files, test images among the training ones."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ganzoo.data.images import convert
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError


@dataclass
class Part:
    """What one split of one domain holds."""

    split: str
    domain: str
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (width, height) -> images
    modes: Counter[str] = field(default_factory=Counter)  # Pillow's names of pixel formats -> images


def check(source: Source, progress: Callable[[int, int], None]) -> tuple[list[Part], list[str]]:
    """Opens every image once: what is there, and a sentence for each thing that is wrong.

    Test images that are all training images, as there are no others, are not opened again.
    """
    splits = [("train", domain) for domain in source.domains]
    splits += [("test", d) for d in source.domains if source.images("test", d) != source.images("train", d)]
    total = sum(len(source.images(*split)) for split in splits)
    parts, problems, leaks = [], [], []
    trained: dict[bytes, str] = {}
    done = 0
    for split, domain in splits:
        parts.append(part := Part(split, domain))
        for ref in source.images(split, domain):
            progress(done := done + 1, total)
            try:
                image = ref.open()
            except GanzooError as error:
                problems.append(f"broken: {str(error).split('. Replace')[0]}")
                continue
            part.sizes[image.size] += 1
            part.modes[image.mode] += 1
            pixels = hashlib.sha256(convert(image, 4).tobytes() + str(image.size).encode()).digest()
            if split == "train":
                trained.setdefault(pixels, ref.name)
            elif pixels in trained:
                leaks.append(f"in train and in test: {trained[pixels]} is {ref.name}")
    return parts, problems + leaks
