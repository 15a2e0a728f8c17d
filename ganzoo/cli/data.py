"""ganzoo data"""

from functools import partial
from pathlib import Path

import click

from ganzoo.cli.output import bar, print_table, say


@click.group("data")
def command() -> None:
    """List, download and check data sets."""


@command.command("list")
def list_command() -> None:
    """Show the data sources and the published archives that a recipe can name."""
    from ganzoo.data.published import find
    from ganzoo.errors import GanzooError
    from ganzoo.registry import registry

    entries = sorted(registry().entries, key=lambda entry: entry.name)
    sources = [e for e in entries if e.type == "source"]
    rows = [(e.name, e.facts.get("data_kinds", ""), e.summary, e.package) for e in sources]
    print_table(("name", "kinds", "what it is", "package"), rows, "sources")
    say()
    published, broken = [], []
    for e in entries:
        if e.type == "archive":
            try:
                archive = find(e.qualified)
            except GanzooError as error:
                broken.append(f"broken {error}")
                continue
            count = f"{sum(archive.counts):,}" if archive.counts else ""
            size = f"{archive.bytes / 1e6:,.0f}" if archive.bytes else "" if archive.urls else "withdrawn"
            kinds = e.facts.get("data_kinds", "")
            published.append((e.name, kinds, ", ".join(archive.domains), count, size, e.package))
    columns = ("name", "kinds", "domains", "images", "MB", "package")
    print_table(columns, published, "published archives", right=("images", "MB"))
    for line in broken:
        say(line)


@command.command()
@click.argument("name")
@click.option("--archive", type=click.Path(path_type=Path), help="A copy you already have, instead of downloading.")
def get(name: str, archive: Path | None) -> None:
    """Download the published archive NAME into the cache, check it and unpack it."""
    from ganzoo.data import archives
    from ganzoo.data.published import find

    with bar(f"downloading {name}") as update:
        folder = archives.get(find(name), local=archive, progress=update, say=partial(say, err=True))
    say(folder)


@command.command("check")
@click.argument("what", metavar="RECIPE-OR-FOLDER", type=click.Path(path_type=Path))
def check_command(what: Path) -> None:
    """Open every image of a recipe's data, or of a folder, and say what is there and what is wrong."""
    from ganzoo import recipe
    from ganzoo.data.check import check
    from ganzoo.data.dataset import open_dataset
    from ganzoo.errors import GanzooError
    from ganzoo.options import DataOptions

    if what.suffix == ".toml":
        given = recipe.read(what)
        options, kind = given.data, given.data_kind
    else:
        options, kind = DataOptions(source="folders", root=str(what)), "domains"
    source = open_dataset(options, kind).source
    with bar("opening images") as update:
        found, problems = check(source, update)
    rows = [
        (split, domain, str(len(images)), _range(images), ", ".join(dict.fromkeys(mode for _, mode in images)))
        for (split, domain), images in found.items()
    ]
    print_table(("split", "domain", "images", "sizes", "pixels"), rows)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise GanzooError("\n  ".join([f"{count}:", *problems[:50]]) + "\nRemove or replace these files.")
    if untested := [domain for domain in source.domains if ("test", domain) not in found]:
        say(f"Without test images, so tested on those for training: {', '.join(untested)}.")
    everything = "Everything else" if source.left_out else "Everything"
    say(f"{everything} can be read, and no image of a test folder is among the training images.")


def _range(images: list[tuple[tuple[int, int], str]]) -> str:
    """The smallest and the largest width and height."""
    if not images:
        return ""
    widths, heights = zip(*(size for size, _ in images), strict=True)
    smallest, largest = f"{min(widths)}x{min(heights)}", f"{max(widths)}x{max(heights)}"
    return smallest if smallest == largest else f"{smallest} to {largest}"
