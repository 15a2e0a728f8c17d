"""Labelled pictures: one folder a class, or an attribute file beside any pictures."""

import csv
from pathlib import Path

from ganzoo.data.pictures import Picture, find_pictures, natural
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import nearest

Labelled = tuple[tuple[str, ...], tuple[tuple[str, ...], ...], dict[str, list[Picture]]]
MOST_HELD_OUT = 2000  # about as many as StarGAN tests on


def read(root: Path, data: DataOptions) -> Labelled:
    """Names of the labels, exclusive groups, and pictures by split."""
    if data.labels:
        return _with_attributes(root, data)
    return _classes(root)


def _classes(root: Path) -> Labelled:
    """train/CLASS/*.jpg, test/CLASS/*.jpg, or CLASS/*.jpg: exactly one label holds."""
    from ganzoo.data.folders import TEST_NAMES, explain, folders, split

    train = root / "train" if (root / "train").is_dir() else root
    names = tuple(p.name for p in folders(train) if find_pictures(p) and p.name not in TEST_NAMES)
    if len(names) < 2:
        raise GanzooError(
            f"{root} should hold labelled pictures: one folder for each of two or more classes, or an attribute file "
            f"named by data.labels. {explain(root)}"
        )
    pictures: dict[str, list[Picture]] = {"train": [], "test": []}
    for place, name in enumerate(names):
        labels = tuple(float(place == other) for other in range(len(names)))
        test = next((root / t / name for t in TEST_NAMES if train != root and (root / t / name).is_dir()), None)
        for part, found in split(name, train / name, test).items():
            pictures[part] += [Picture(p.path, labels=labels) for p in found]
    return names, (names,), pictures


def _with_attributes(root: Path, data: DataOptions) -> Labelled:
    from ganzoo.data.folders import hold_out

    file = next((p for p in (root / data.labels, Path(data.labels)) if p.is_file()), None)
    if file is None:
        raise GanzooError(f"data.labels: there is no attribute file {root / data.labels}. Correct the path.")
    names, rows = _read_csv(file) if file.suffix.lower() == ".csv" else _read_celeba(file)
    chosen = data.attributes or tuple(names)
    for name in (*chosen, *(label for group in data.groups for label in group)):
        if name not in names:
            raise GanzooError(f'{file} has no attribute "{name}".{nearest(name, names)} It has: {", ".join(names)}.')
    for label in (label for group in data.groups for label in group):
        if label not in chosen:
            raise GanzooError(
                f'data.groups speaks of "{label}", which is not in data.attributes. Add it or leave it out.'
            )
    columns = [names.index(name) for name in chosen]
    files = {p.name: p for p in find_pictures(root)}
    missing = sorted(rows.keys() - files.keys(), key=natural)
    if missing:
        raise GanzooError(
            f"{file} describes {len(rows)} pictures, but {len(missing)} of them are not in {root}, such as "
            f"{missing[0]}. Put them there, or take their lines out."
        )
    pictures = [Picture(files[n], labels=tuple(row[c] for c in columns)) for n, row in rows.items()]
    if not pictures:
        raise GanzooError(
            f"{file} describes no pictures. It should have a line for each: its name, then its attributes."
        )
    return chosen, data.groups, hold_out(pictures, MOST_HELD_OUT)


def _read_celeba(file: Path) -> tuple[list[str], dict[str, list[float]]]:
    """Line 1 a count, line 2 the names, then a picture's name and 1 or -1 for each."""
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(lines) < 2 or not (len(lines[0]) == 1 and lines[0][0].isdigit()):
        raise GanzooError(
            f"{file} should begin with a line that counts the pictures and a line that names the attributes."
        )
    return lines[1], {row[0]: _values(file, row, lines[1]) for row in lines[2:]}


def _read_csv(file: Path) -> tuple[list[str], dict[str, list[float]]]:
    """A header; the first column names the picture. 1, 0 or -1; empty where it is not known."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        header, *rows = [row for row in csv.reader(lines) if row] or [[]]
    return header[1:], {row[0]: _values(file, row, header[1:]) for row in rows}


def _values(file: Path, row: list[str], names: list[str]) -> list[float]:
    known = {"1": 1.0, "-1": 0.0, "0": 0.0, "": float("nan")}
    try:
        values = [known[value.strip()] for value in row[1:]]
        if len(values) == len(names):
            return values
    except KeyError:
        pass
    raise GanzooError(
        f"{file}: the line of {row[0]} should have {len(names)} values, each 1, -1 or 0: {' '.join(row[1:6])} ..."
    )
