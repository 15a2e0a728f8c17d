"""ganzoo data"""

from pathlib import Path

import click


@click.group("data")
def data_command() -> None:
    """List, download and check data sets."""


@data_command.command("list")
def list_command() -> None:
    """Show the data sources and the published archives that a recipe can name."""
    from rich.console import Console
    from rich.table import Table

    from ganzoo.data.published import find
    from ganzoo.errors import GanzooError
    from ganzoo.registry import registry

    sources = Table(title="sources", title_justify="left", title_style="bold", box=None, header_style="dim")
    for column in ("name", "kinds", "what it is", "package"):
        sources.add_column(column, style="cyan" if column == "name" else "")
    for e in registry().entries:
        if e.type == "source":
            sources.add_row(e.name, e.facts.get("data_kinds", ""), e.summary, f"{e.distribution} {e.version}")
    published = Table(
        title="published archives", title_justify="left", title_style="bold", box=None, header_style="dim"
    )
    for column in ("name", "kinds", "domains", "images", "MB", "package"):
        style, right = "cyan" if column == "name" else "", column in ("images", "MB")
        published.add_column(column, style=style, justify="right" if right else "left", no_wrap=column == "name")
    broken = []
    for e in sorted((e for e in registry().entries if e.type == "archive"), key=lambda e: e.name):
        try:
            archive = find(e.qualified)
        except GanzooError as error:
            broken.append(str(error))
            continue
        count = f"{sum(archive.counts):,}" if archive.counts else ""
        size = f"{archive.bytes / 1e6:,.0f}" if archive.bytes else "" if archive.urls else "withdrawn"
        kinds, package = e.facts.get("data_kinds", ""), f"{e.distribution} {e.version}"
        published.add_row(e.name, kinds, ", ".join(archive.domains), count, size, package)
    console = Console()
    console.print(sources)
    console.print()
    console.print(published)
    for sentence in broken:
        click.echo(f"broken {sentence}")


@data_command.command()
@click.argument("name")
@click.option("--archive", type=click.Path(path_type=Path), help="A copy you already have, instead of downloading.")
def get(name: str, archive: Path | None) -> None:
    """Download the published archive NAME into the cache, check it and unpack it."""
    from ganzoo.cli.progress import bar
    from ganzoo.data import archives
    from ganzoo.data.published import find

    with bar(f"downloading {name}") as update:
        folder = archives.get(find(name), local=archive, progress=update, say=lambda text: click.echo(text, err=True))
    click.echo(folder)


@data_command.command("check")
@click.argument("what", metavar="RECIPE-OR-FOLDER", type=click.Path(path_type=Path))
def check_command(what: Path) -> None:
    """Open every image of a recipe's data, or of a folder, and say what is there and what is wrong."""
    from rich.console import Console
    from rich.table import Table

    from ganzoo import recipe
    from ganzoo.cli.progress import bar
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
        findings = check(source, update)
    table = Table(box=None, header_style="dim")
    for column in ("split", "domain", "images", "sizes", "pixels"):
        table.add_column(column)
    for part in findings.parts:
        table.add_row(part.split, part.domain, str(part.count), _sizes(part.sizes), ", ".join(part.modes))
    Console().print(table)
    problems = [f"broken: {sentence}" for sentence in findings.broken]
    problems += [f"in train and in test: {train} is {test}" for train, test in findings.leaks]
    if problems:
        raise GanzooError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n"
            + "\n".join(f"  {p}" for p in problems[:50])
            + "\nRemove or replace these files."
        )
    if findings.untested:
        click.echo(f"Without test images, so tested on those for training: {', '.join(findings.untested)}.")
    click.echo("Everything can be read, and no image of a test folder is among the training images.")


def _sizes(sizes: dict[tuple[int, int], int]) -> str:
    if not sizes:
        return ""
    widths, heights = [w for w, _ in sizes], [h for _, h in sizes]
    smallest, largest = f"{min(widths)}x{min(heights)}", f"{max(widths)}x{max(heights)}"
    return smallest if smallest == largest else f"{smallest} to {largest}"
