"""ganzoo new"""

from pathlib import Path

import click

from ganzoo.cli.output import say

LICENCES = ("MIT", "BSD-3-Clause", "Apache-2.0")
KINDS = ("unpaired", "paired", "labelled", "images", "domains")


@click.group("new")
def command() -> None:
    """Write a new plugin or a new recipe."""


@command.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="unpaired", show_default=True, help="Kind of data.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: ganzoo-NAME]")
@click.option("--licence", type=click.Choice(LICENCES), default="MIT", show_default=True, help="Written as LICENSE.")
def plugin(name: str, kind: str, out: Path | None, licence: str) -> None:
    """Write a complete package with a model NAME that trains at once: model, recipe, tests, README."""
    from ganzoo.scaffold import write_plugin

    folder = out or Path(f"ganzoo-{name}")
    for path in write_plugin(name, kind, folder, licence):
        say(path)
    say(f"\nNext:  pip install -e {folder}  &&  pytest {folder}")
    say(f"       ganzoo run {name} --quick")


@command.command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), help="File.  [default: printed]")
def recipe(model: str, out: Path | None) -> None:
    """Write a recipe for MODEL with every option, its default and what it means."""
    from ganzoo.files import refuse_existing, write_text
    from ganzoo.scaffold import recipe_text

    text = recipe_text(model)
    if out is None:
        click.echo(text, nl=False)
        return
    refuse_existing(out)
    write_text(out, text)
    say(out)
