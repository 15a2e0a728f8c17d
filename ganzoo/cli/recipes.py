"""ganzoo recipes"""

from dataclasses import asdict

import click

from ganzoo.cli.output import print_table, say, say_json


@click.command("recipes")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Show the recipes that come with ganzoo and its plugins: `ganzoo run NAME` trains one."""
    from ganzoo.shipped import shipped

    found = shipped()
    if as_json:
        say_json([asdict(recipe) for recipe in found])
        return
    rows = [(r.name, r.summary, r.model, r.data, r.package) for r in found]
    print_table(("name", "what it does", "model", "data", "package"), rows)
    say("\nMinutes on built-in images: ganzoo run NAME --quick. To change one: ganzoo copy NAME FILE.toml")
