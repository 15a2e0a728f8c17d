"""ganzoo cite"""

from pathlib import Path

import click

from ganzoo.cli.output import say


@click.command("cite")
@click.argument("name", metavar="MODEL|RUN")
def command(name: str) -> None:
    """Print BibTeX of the paper of MODEL, or of the model that RUN trained, and of ganzoo."""
    from ganzoo.card import bibtex
    from ganzoo.pretrained import find
    from ganzoo.registry import registry
    from ganzoo.runfolder import RunFolder, read_table

    run, used = RunFolder(Path(name)), ""
    if RunFolder.is_run(run.path):
        name, used = str(read_table(run.recipe).get("model")), str(read_table(run.env).get("ganzoo", used))
    if registry().matches("pretrained model", name) and not registry().matches("model", name):
        name = find(name).model
    say(bibtex(name, used))
