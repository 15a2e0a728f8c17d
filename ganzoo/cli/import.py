"""ganzoo import"""

from pathlib import Path

import click

from ganzoo.cli.output import say


def _words(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _groups(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(_words(ctx, param, text) for text in texts)


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT.safetensors", type=click.Path(path_type=Path))
@click.option("--domains", default="", callback=_words, metavar="A,B", help="Their names, in order.  [default: A,B]")
@click.option("--size", type=click.IntRange(8), metavar="N", help="Side of the training images, pixels.")
@click.option("--labels", default="", callback=_words, metavar="L,M", help="Names of the labels, in order.")
@click.option("--group", "groups", multiple=True, callback=_groups, metavar="L,M", help="Labels of which one holds.")
@click.option("--model", default="", metavar="NAME", help="Whose weights they are.  [default: found out]")
def command(
    files: tuple[Path, ...],
    output: Path,
    domains: tuple[str, ...],
    size: int | None,
    labels: tuple[str, ...],
    groups: tuple[tuple[str, ...], ...],
    model: str,
) -> None:
    """Make a bundle of weights that the authors' code, or another program, has written.

    FILE: a generator (latest_net_G.pth), or both directions of a CycleGAN, or all that the model needs; in order of the
    domains. Of a single direction --domains names the source and the target. `ganzoo translate`, `evaluate`, `export`
    and so on take OUTPUT. It cannot be trained on: discriminators are not in it.

    The files are read as plain weights: no code in them is run.
    """
    from ganzoo.importer import import_files
    from ganzoo.pretrained import TrainedOn

    known = TrainedOn(domains=domains, size=size, labels=labels, groups=groups)
    for sentence in import_files(files, output, known, model):
        say(sentence)
