"""ganzoo push"""

from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name", metavar="USER/NAME")
@click.option("--public", is_flag=True, help="For everybody to see; by default it is private.")
@click.option("--licence", default="unknown", show_default=True, metavar="L", help="As the hub calls it: cc-by-4.0.")
@click.option("--half", is_flag=True, help="Weights in half precision: half as large, images nearly the same.")
def command(run: Path, name: str, public: bool, licence: str, half: bool) -> None:
    """Pack a trained RUN and put it on the Hugging Face hub, or on the one at HF_ENDPOINT, as USER/NAME.

    With a model card: samples, metrics, data, paper and recipe. What is there already stays as an older revision. You
    have to be logged in (`hf auth login`, or HF_TOKEN).

    Needs pip install "ganzoo[hub]".
    """
    from ganzoo.pack import publish

    for sentence in publish(run, name, half, public, licence):
        say(sentence)
