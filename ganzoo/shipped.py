"""The recipes that come with ganzoo and its plugins, by name."""

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError
from ganzoo.options import find_source
from ganzoo.registry import registry

HERE = Path(__file__).with_name("recipes")
OURS = HERE if HERE.is_dir() else Path(__file__).parents[1] / "recipes"  # of a checkout they lie at its top


@dataclass(frozen=True)
class Shipped:
    """A recipe that comes with an installed package."""

    name: str
    summary: str
    model: str
    data: str
    """ "your own", "downloaded", "built in" or "not installed" """
    package: str
    path: str


def files() -> dict[str, Path]:
    """Name -> file: those of ganzoo, and of each plugin that has a folder `recipes` in its package.

    Where two have one name, ganzoo's is meant, or that of the package that comes first; `package/name` is always known.
    """
    found: dict[str, Path] = {}
    for package, folder in ({"ganzoo": OURS} | registry().recipes).items():
        for path in sorted(folder.glob("*.toml")):
            found[f"{package}/{path.stem}"] = path
            found.setdefault(path.stem, path)
    return found


def shipped() -> list[Shipped]:
    """The installed recipes, by name."""
    found, known = [], files()
    for qualified in (name for name in known if "/" in name):
        package, name = qualified.rsplit("/", 1)
        path = known[qualified]
        with suppress(OSError, ValueError):  # a stranger's that cannot be read: `ganzoo run` tells why
            text = path.read_text(encoding="utf-8")
            document = tomllib.loads(text)
            about = re.split(r"\s{2,}", text.splitlines()[0].lstrip("# "))[0].rstrip(".")
            name = name if known[name] == path else qualified
            found.append(Shipped(name, about, str(document.get("model", "")), _data(document), package, str(path)))
    return sorted(found, key=lambda recipe: recipe.name)


def _data(document: dict[str, Any]) -> str:
    """Where the images come from that such a recipe is trained on, without --quick."""
    data = document.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    name = source.get("name") if isinstance(source, dict) else source
    if name == "folders":
        return "your own"
    with suppress(GanzooError):
        return "downloaded" if find_source(str(name)).type == "archive" else "built in"
    return "not installed"
