"""ganzoo schema"""

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of recipes, with the options of every installed model, for editors."""
    from ganzoo.scaffold import schema

    click.echo(json.dumps(schema(), indent=1))
