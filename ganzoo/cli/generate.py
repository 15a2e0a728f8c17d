"""ganzoo generate"""

from pathlib import Path

import click

from ganzoo.cli.output import bar, load, say


@click.command("generate")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1), metavar="N", help="How many.  [default: 16, or all there can be]")
@click.option("--label", metavar="LABEL", help='What they show: "7", or "blond,no-glasses".  [default: anything]')
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another, other images.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(run: Path, output: Path, count: int | None, label: str | None, seed: int, device: str) -> None:
    """Make new images with a trained RUN: 000.png, 001.png, ... in the folder OUTPUT."""
    from ganzoo import bulk

    translator = load(run, device)
    with bar("generating") as update:
        for done, total in bulk.generate_files(translator, output, count, label, seed):
            update(done, total)
    say(f"{total} new image{'s' if total != 1 else ''}{f' of {label}' if label else ''}: {output}")
