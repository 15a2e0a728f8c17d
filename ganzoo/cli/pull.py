"""ganzoo pull"""

from functools import partial
from pathlib import Path

import click

from ganzoo.cli.output import bar, say


@click.command("pull")
@click.argument("name")
@click.option("--file", type=click.Path(path_type=Path), help="A copy you already have, instead of downloading.")
def command(name: str, file: Path | None) -> None:
    """Download the published model NAME, convert it, and print the bundle that is kept in the cache.

    Without it, the first command that uses NAME does the same. `ganzoo pretrained` lists the names. A NAME such as
    anna/monet is a model on the Hugging Face hub, which its own cache keeps: needs pip install "ganzoo[hub]".
    """
    from ganzoo import hub, pretrained
    from ganzoo.registry import registry

    if hub.is_name(name) and not file and not registry().matches("pretrained model", name):
        say(hub.pull(name))
        return
    with bar(f"downloading {name}") as update:
        bundle = pretrained.pull(name, file, update, partial(say, err=True))
    say(bundle)
