"""A look at a data set before it is trained on: counts, sizes, broken files, test images among the training ones."""

import hashlib

from ganzoo.data.downloads import Progress
from ganzoo.data.images import convert
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError

Opened = list[tuple[tuple[int, int], str]]
"""(width, height) and Pillow's name of the pixel format, of each image"""


def check(source: Source, progress: Progress) -> tuple[dict[tuple[str, str], Opened], list[str]]:
    """Opens every image once: (split, domain) -> what is there, and a sentence for each thing that is wrong.

    Test images that are all training images, as there are no others, are not opened again.
    """
    splits = [("train", domain) for domain in source.domains]
    splits += [("test", d) for d in source.domains if source.images("test", d) != source.images("train", d)]
    found: dict[tuple[str, str], Opened] = {split: [] for split in splits}
    refs = [(split, ref) for split in splits for ref in source.images(*split)]
    trained: dict[bytes, str] = {}
    broken, leaks = [], []
    for done, (split, ref) in enumerate(refs, start=1):
        progress(done, len(refs))
        try:
            image = ref.open()
        except GanzooError as error:
            broken.append(f"broken: {str(error).split('. Replace')[0]}")
            continue
        found[split].append((image.size, image.mode))
        pixels = hashlib.sha256(convert(image, 4).tobytes() + str(image.size).encode()).digest()
        if split[0] == "train":
            trained.setdefault(pixels, ref.name)
        elif pixels in trained:
            leaks.append(f"in train and in test: {trained[pixels]} is {ref.name}")
    return found, broken + leaks
