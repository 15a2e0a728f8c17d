"""Attribute files beside images: CelebA's text, or a CSV with a header."""

import csv
from collections import Counter
from itertools import chain
from math import nan
from pathlib import Path

import numpy as np

from ganzoo.data.images import NO_IMAGE, ImageRefs, LeftOut, image_names
from ganzoo.data.sources import check_known
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions

VALUES = {"1": 1.0, "-1": 0.0, "0": 0.0, "": nan}


def read(root: Path, options: DataOptions, left_out: LeftOut) -> tuple[tuple[str, ...], ImageRefs]:
    """Names of the labels, and the images that the file `options.labels` describes, in its order."""
    file = next((p for p in (root / options.labels, Path(options.labels)) if p.is_file()), None)
    if file is None:
        raise GanzooError(f"data.labels: there is no attribute file {root / options.labels}. Correct the path.")
    names, rows = _read_table(file)
    chosen = options.attributes or tuple(names)
    check_known(f"data.attributes: {file} has no attribute", chosen, names)
    check_known("data.groups: data.attributes have no", chain(*options.groups), chosen)
    columns = [names.index(name) for name in chosen]
    found = image_names(root, left_out=left_out)
    files = _matched(root, file, list(rows), found, options.broken == "skip")
    left_out[NO_IMAGE] = [path for path in left_out.get(NO_IMAGE, []) if path != file]
    left_out["images without labels"] = [root / name for name in sorted(set(found).difference(files.values()))]
    labels = np.array([[rows[name][c] for c in columns] for name in files], dtype=np.float32)
    return chosen, ImageRefs(root, [*files.values()], labels)


def _matched(root: Path, file: Path, names: list[str], images: list[str], skip: bool) -> dict[str, str]:
    """Names in the attribute file -> images, found by their path under `root` or by their file name alone."""
    found: dict[str, str] = {}
    known = set(names)
    for path in images:
        for name in {path, path.rpartition("/")[2]} & known:
            if found.setdefault(name, path) != path:
                both = f"{root / found[name]} and {root / path}"
                raise GanzooError(f'{file} names "{name}", but there are {both}. Write the path under {root}.')
    described = set(found.values())
    undescribed = [path.rpartition("/")[2] for path in images if path not in described]
    missing = [name for name in names if name not in found]
    for here, count, there, lacking in ((file, len(names), root, missing), (root, len(images), file, undescribed)):
        if lacking and not (skip and found):
            raise GanzooError(
                f"{here} has {count} images, of which {len(lacking)} are not in {there}, such as {lacking[0]}. Correct "
                'data.root or data.labels, add or remove what is lacking, or set data.broken = "skip".'
            )
    return {name: found[name] for name in names if name in found}


def _read_table(file: Path) -> tuple[list[str], dict[str, list[float]]]:
    """The names of the attributes, and their values by the names of the images: 1, 0, or nan where it is not known."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GanzooError(f"{file} cannot be read as text ({error}). Save it as UTF-8.") from None
    if file.suffix.lower() == ".csv":
        names, lines = _csv(file, text)
    else:
        names, lines = _celeba(file, text)
    if not lines:
        raise GanzooError(f"{file} describes no images. It should have a line for each: its name, then its attributes.")
    for what, found in (("attributes", names), ("lines", [line[0] for line in lines])):
        name, count = Counter(found).most_common(1)[0]
        if count > 1:
            raise GanzooError(f'{file} has {count} {what} called "{name}". Keep one, or rename the others.')
    return names, {line[0]: _values(file, line, len(names)) for line in lines}


def _csv(file: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """A header; the first column names the image. 1, 0 or -1; empty where it is not known."""
    try:
        lines = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines())]
    except csv.Error as error:
        raise GanzooError(f"{file} is no table with commas ({error}). Correct it, or name another.") from None
    header, *rows = [line for line in lines if any(line)] or [[]]
    if len(header) < 2:
        raise GanzooError(
            f"{file} should begin with a header, separated by commas: the image's name, then the attributes."
        )
    return header[1:], rows


def _celeba(file: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """Line 1 a count, line 2 the names, then an image's name and 1 or -1 for each."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or not (len(lines[0]) == 1 and lines[0][0].isdigit()):
        raise GanzooError(
            f"{file} should begin with a line that counts the images and a line that names the attributes, as "
            "CelebA's does. A table with commas should be called .csv."
        )
    return lines[1], lines[2:]


def _values(file: Path, line: list[str], count: int) -> list[float]:
    values = [VALUES[text] for text in line[1:] if text in VALUES]
    if len(values) != count or len(line) != 1 + count:
        raise GanzooError(
            f"{file}: the line of {line[0]} should have {count} values, each 1, -1 or 0, but has {len(line) - 1}: "
            f"{' '.join(line[1:6])}{' ...' if len(line) > 6 else ''}"
        )
    return values
