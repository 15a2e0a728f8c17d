"""ganzoo cite"""

from pathlib import Path

import click

from ganzoo.cli.output import say

GANZOO = """@software{{ganzoo,
  author = {{{{The ganzoo authors}}}},
  title = {{ganzoo: a zoo of adversarial image models behind one engine}},
  year = {{2026}},
  version = {{{version}}},
}}"""


@click.command("cite")
@click.argument("name", metavar="MODEL|RUN")
def command(name: str) -> None:
    """Print BibTeX of the paper of MODEL, or of the model that RUN trained, and of ganzoo."""
    from importlib.metadata import version

    from ganzoo.registry import registry
    from ganzoo.runfolder import RunFolder, read_table

    run, used = RunFolder(Path(name)), version("ganzoo")
    if RunFolder.is_run(run.path):
        name, used = str(read_table(run.recipe).get("model")), str(read_table(run.env).get("ganzoo", used))
    entry = registry().find("model", name)
    paper = entry.facts.get("paper") or f"its author, {entry.distribution}, names no paper"
    say(entry.facts.get("bibtex") or f"% {entry.name}: {paper}")
    say(f"\n{GANZOO.format(version=used)}")
