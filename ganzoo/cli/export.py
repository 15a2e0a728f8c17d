"""ganzoo export"""

from pathlib import Path

import click

from ganzoo.cli.output import load, say


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT.onnx", type=click.Path(path_type=Path))
@click.option("--to", metavar="TARGET", help="Domain, or labels: blond,no-glasses.  [default: the run's first target]")
@click.option("--from", "source", metavar="DOMAIN", help="Domain of the images.  [default: the first that fits]")
@click.option("--encoder", is_flag=True, help="Instead, what gives styles of reference images of that target.")
def command(run: Path, output: Path, to: str | None, source: str | None, encoder: bool) -> None:
    """Write one translation of a trained RUN as an ONNX file, and check it with onnxruntime.

    Its input "image" and its output "translation" are (batch, channels, height, width) with values from -1 to 1. The
    file's metadata says which sizes it takes. Dropout is off in it, even if the model translates with dropout.

    Of a model with styles a second input "style", (batch, ...), takes a style for each image. Styles at random are in
    the metadata; those of reference images come from the file that --encoder writes, from "image" to "style".

    Needs pip install "ganzoo[export]".
    """
    from ganzoo import export

    for sentence in export.write(load(run), output, to, source, encoder):
        say(sentence)
