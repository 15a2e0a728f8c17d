"""Training and test pictures in folders, and the words for a tree that is not as expected."""

from pathlib import Path

from ganzoo.data.pictures import Picture, find_pictures, natural
from ganzoo.errors import GanzooError

TEST_NAMES = ("test", "val", "valid", "validation")
HELD_OUT = 20  # one picture in so many is kept for testing where there is no test folder


def split(domain: str, train: Path, test: Path | None) -> dict[str, list[Picture]]:
    pictures = [Picture(path) for path in find_pictures(train)]
    if not pictures:
        raise GanzooError(
            f'The domain "{domain}" is empty: put pictures (jpg, png, webp, bmp, tiff, ppm) into {train}.'
        )
    if test:
        held = [Picture(path) for path in find_pictures(test)]
        return {"train": pictures, "test": held or pictures}
    return hold_out(pictures, 50)


def hold_out(pictures: list[Picture], most: int) -> dict[str, list[Picture]]:
    """Every 20th picture for testing, `most` at most; of fewer than 40 pictures, none is spared."""
    if len(pictures) < 2 * HELD_OUT:
        return {"train": pictures, "test": pictures}
    held = pictures[::HELD_OUT][:most]
    spared = set(held)
    return {"train": [p for p in pictures if p not in spared], "test": held}


def explain(root: Path, expected: str) -> str:
    """The tree that was expected beside the tree that was found."""
    lines = []
    for folder in [root, *folders(root), *(sub for f in folders(root) for sub in folders(f))][:20]:
        count = len(find_pictures(folder, recursive=False))
        lines.append(f"  {folder}  ({count} picture{'s' if count != 1 else ''})")
    return expected.format(root=root) + "\nFound:\n" + "\n".join(lines)


def folders(root: Path) -> list[Path]:
    """The folders in a folder in natural order, hidden ones left out."""
    return sorted((p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._"), key=lambda p: natural(p.name))
