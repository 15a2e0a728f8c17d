"""Labelled images: one folder a class, or an attribute file beside any images."""

import csv
from collections import Counter
from pathlib import Path

from ganzoo.data.images import ImageRef, find_images, natural
from ganzoo.data.splits import TEST_NAMES, explain, folders, hold_out, split
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean

Labelled = tuple[tuple[str, ...], tuple[tuple[str, ...], ...], dict[str, list[ImageRef]]]
MOST_HELD_OUT = 2000  # about as many as StarGAN tests on
EXPECTED = """Expected one of:
  {root}/CLASS  OTHER                        (one folder of images for each class)
  {root}/train/CLASS  train/OTHER  test/CLASS  test/OTHER
  {root}/...                                 (images, and an attribute file: data.labels = "list_attr_celeba.txt")"""


def read(root: Path, options: DataOptions) -> Labelled:
    """Names of the labels, exclusive groups, and images by split."""
    return _with_attributes(root, options) if options.labels else _classes(root, options)


def _classes(root: Path, options: DataOptions) -> Labelled:
    """train/CLASS/*.jpg, test/CLASS/*.jpg, or CLASS/*.jpg: exactly one label holds."""
    train = root / "train" if (root / "train").is_dir() else root
    names = tuple(p.name for p in folders(train) if find_images(p) and p.name not in TEST_NAMES)
    if len(names) < 2:
        raise GanzooError(
            f"The images in {root} have no labels: sort them into folders, or name an attribute file with "
            f"data.labels. {explain(root, EXPECTED)}"
        )
    for name in options.attributes:
        if name not in names:
            raise GanzooError(
                f'data.attributes: {train} has no folder "{name}" with images.{did_you_mean(name, list(names))} '
                f"It has: {', '.join(names)}."
            )
    if options.groups:
        raise GanzooError("data.groups is for attribute files. Leave it out: of classes in folders one always holds.")
    names = options.attributes or names
    images: dict[str, list[ImageRef]] = {"train": [], "test": []}
    for place, name in enumerate(names):
        labels = tuple(float(place == other) for other in range(len(names)))
        test = next((root / t / name for t in TEST_NAMES if train != root and (root / t / name).is_dir()), None)
        for part, found in split(name, train / name, test).items():
            images[part] += [ImageRef(p.path, labels=labels) for p in found]
    return names, (names,), images


def _with_attributes(root: Path, options: DataOptions) -> Labelled:
    file = next((p for p in (root / options.labels, Path(options.labels)) if p.is_file()), None)
    if file is None:
        raise GanzooError(f"data.labels: there is no attribute file {root / options.labels}. Correct the path.")
    names, rows = _read_csv(file) if file.suffix.lower() == ".csv" else _read_celeba(file)
    chosen = options.attributes or tuple(names)
    for name in (*chosen, *(label for group in options.groups for label in group)):
        if name not in names:
            raise GanzooError(
                f'{file} has no attribute "{name}".{did_you_mean(name, names)} It has: {", ".join(names)}.'
            )
    for label in (label for group in options.groups for label in group):
        if label not in chosen:
            raise GanzooError(f'data.groups names "{label}", which is not in data.attributes. Add it or leave it out.')
    if not rows:
        raise GanzooError(f"{file} describes no images. It should have a line for each: its name, then its attributes.")
    columns = [names.index(name) for name in chosen]
    files = _matched(root, file, {name: line for line, (name, _) in enumerate(rows)}, options.broken == "skip")
    images = [ImageRef(files[n], labels=tuple(row[c] for c in columns)) for n, row in rows if n in files]
    return chosen, options.groups, hold_out(images, MOST_HELD_OUT)


def _matched(root: Path, file: Path, lines: dict[str, int], skip: bool) -> dict[str, Path]:
    """Names in the attribute file -> images, found by their path under `root` or by their file name alone."""
    found: dict[str, Path] = {}
    twice: dict[str, Path] = {}
    images = find_images(root)
    for path in images:
        for name in {path.relative_to(root).as_posix(), path.name} & lines.keys():
            if found.setdefault(name, path) != path:
                twice[name] = path
    for name, path in twice.items():
        raise GanzooError(
            f'{file} names "{name}", but there are {found[name]} and {path}. Write the path under {root} instead.'
        )
    missing, described = sorted(lines.keys() - found.keys(), key=natural), set(found.values())
    undescribed = [path for path in images if path not in described]
    if not found:
        raise GanzooError(
            f"{file} does not fit {root}: of its {len(lines)} images, such as {missing[0]}, none is among the "
            f"{len(images)} there. Correct data.root or data.labels."
        )
    if missing and not skip:
        raise GanzooError(
            f"{file} describes {len(lines)} images, but {_many(len(missing))} not in {root}, such as {missing[0]}. "
            'Put the rest there, take the lines out, or set data.broken = "skip".'
        )
    if undescribed and not skip:
        raise GanzooError(
            f"{root} holds {len(images)} images, but {_many(len(undescribed))} not in {file}, such as "
            f'{undescribed[0].name}. Add their lines, take them away, or set data.broken = "skip".'
        )
    return found


def _many(count: int) -> str:
    return "one of them is" if count == 1 else f"{count} of them are"


Rows = list[tuple[str, list[float]]]  # an image's name and its values


def _read_celeba(file: Path) -> tuple[list[str], Rows]:
    """Line 1 a count, line 2 the names, then an image's name and 1 or -1 for each."""
    lines = [line.split() for line in _text(file).splitlines() if line.strip()]
    if len(lines) < 2 or not (len(lines[0]) == 1 and lines[0][0].isdigit()):
        raise GanzooError(
            f"{file} should begin with a line that counts the images and a line that names the attributes, as "
            "CelebA's does. A table with commas should be called .csv."
        )
    return lines[1], _rows(file, lines[1], lines[2:])


def _read_csv(file: Path) -> tuple[list[str], Rows]:
    """A header; the first column names the image. 1, 0 or -1; empty where it is not known."""
    lines = [row for row in csv.reader(_text(file).splitlines()) if any(cell.strip() for cell in row)]
    header, *rows = [[cell.strip() for cell in row] for row in lines] or [[]]
    if len(header) < 2:
        raise GanzooError(
            f"{file} should begin with a header, separated by commas: the image's name, then the attributes."
        )
    return header[1:], _rows(file, header[1:], rows)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GanzooError(f"{file} cannot be read as text ({error}). Save it as UTF-8.") from None


def _rows(file: Path, names: list[str], lines: list[list[str]]) -> Rows:
    for name in names:
        if names.count(name) > 1 or not name:
            raise GanzooError(f'{file} has two attributes called "{name}". Give every column a name of its own.')
    rows = {line[0]: _values(file, line, names) for line in lines}
    if len(rows) < len(lines):
        twice = Counter(line[0] for line in lines).most_common(1)[0][0]
        raise GanzooError(f"{file} has several lines for {twice}. Keep one.")
    return list(rows.items())


def _values(file: Path, row: list[str], names: list[str]) -> list[float]:
    known = {"1": 1.0, "-1": 0.0, "0": 0.0, "": float("nan")}
    try:
        values = [known[value.strip()] for value in row[1:]]
        if len(values) == len(names):
            return values
    except KeyError:
        pass
    raise GanzooError(
        f"{file}: the line of {row[0]} should have {len(names)} values, each 1, -1 or 0, but has {len(row) - 1}: "
        f"{' '.join(row[1:6])}{' ...' if len(row) > 6 else ''}"
    )
