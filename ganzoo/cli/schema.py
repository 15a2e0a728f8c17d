"""ganzoo schema"""

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of recipes, with the options of every installed model, for editors."""
    from ganzoo.scaffold import schema as recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=1))
