"""Training and test images in folders, and the words for a tree that is not as expected."""

from pathlib import Path

from ganzoo.data.images import ImageRef, find_images, natural
from ganzoo.errors import GanzooError

TEST_NAMES = ("test", "val", "valid", "validation")
HELD_OUT = 20  # one image in N is held out for testing where there is no test folder


def split(domain: str, train: Path, test: Path | None) -> dict[str, list[ImageRef]]:
    images = [ImageRef(path) for path in find_images(train)]
    if not images:
        raise GanzooError(f'The domain "{domain}" is empty: put images (jpg, png, webp, bmp, tiff, ppm) into {train}.')
    if test:
        held = [ImageRef(path) for path in find_images(test)]
        return {"train": images, "test": held or images}
    return hold_out(images, 50)


def hold_out(images: list[ImageRef], most: int) -> dict[str, list[ImageRef]]:
    """Every 20th image for testing, `most` at most; of fewer than 40 images, none is spared."""
    if len(images) < 2 * HELD_OUT:
        return {"train": images, "test": images}
    held = images[::HELD_OUT][:most]
    spared = set(held)
    return {"train": [p for p in images if p not in spared], "test": held}


def explain(root: Path, expected: str) -> str:
    """The tree that was expected beside the tree that was found."""
    lines = []
    for folder in [root, *folders(root), *(sub for f in folders(root) for sub in folders(f))][:20]:
        count = len(find_images(folder, recursive=False))
        lines.append(f"  {folder}  ({count} image{'s' if count != 1 else ''})")
    return expected.format(root=root) + "\nFound:\n" + "\n".join(lines)


def folders(root: Path) -> list[Path]:
    """The folders in a folder in natural order, hidden ones left out."""
    return sorted((p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._"), key=lambda p: natural(p.name))
