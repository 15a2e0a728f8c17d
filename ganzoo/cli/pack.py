"""ganzoo pack"""

from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("pack")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT.safetensors", type=click.Path(path_type=Path))
@click.option("--half", is_flag=True, help="Weights in half precision: half as large, images nearly the same.")
def command(run: Path, output: Path, half: bool) -> None:
    """Write a trained RUN as one small file to pass on, and a model card beside it.

    The file holds what translating and generating need: no discriminators, and the averaged weights only. It is used
    like the run itself, and cannot be trained on. The card, OUTPUT.md, has samples, metrics, data,
    paper and recipe.
    """
    from ganzoo.pack import pack

    for sentence in pack(run, output, half):
        say(sentence)
