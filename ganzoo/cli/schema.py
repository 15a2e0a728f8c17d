"""ganzoo schema"""

import click

from ganzoo.cli.output import say_json


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of recipes, with the options of every installed model, for editors."""
    from ganzoo.scaffold import schema

    say_json(schema())
