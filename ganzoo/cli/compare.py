"""ganzoo compare"""

from pathlib import Path

import click

from ganzoo.cli.output import print_table, say, say_json


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("comparison.html"), show_default=True, help="Page."
)
@click.option("--data", default="", metavar="DATA", help="Other images: a folder, a recipe, or a data source.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics for programs, write no page.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(runs: tuple[Path, ...], out: Path, data: str, as_json: bool, device: str) -> None:
    """Set runs side by side on the same test images, the first one's: a table here, and one HTML page with the images.

    Where the first is a file of weights alone, --data must say which.
    """
    from ganzoo import comparison

    found = comparison.compare(runs, device, data, say=lambda text: click.echo(text, err=True))
    if found.lost_metrics:
        say(f"Not evaluated, as no plugin here knows it: {', '.join(found.lost_metrics)}", err=True)
    if as_json:
        say_json(found.metrics)
        return
    comparison.write(found, out)
    rows = [
        (direction, name, *("" if value is None else f"{value:.4f}" for value in values))
        for direction, name, values in comparison.rows(found.metrics)
    ]
    print_table(("direction", "metric", *found.metrics), rows, right=found.metrics)
    say(f"Images: {out}")
