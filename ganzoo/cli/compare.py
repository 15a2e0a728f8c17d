"""ganzoo compare"""

import json
from pathlib import Path

import click


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("comparison.html"), show_default=True, help="Page."
)
@click.option("--json", "as_json", is_flag=True, help="Print metrics for programs, write no page.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def compare_command(runs: tuple[Path, ...], out: Path, as_json: bool, device: str) -> None:
    """Set runs side by side on the same test images: a table here, and one HTML page with the images."""
    from ganzoo import comparison

    found = comparison.compare(runs, device)
    if found.lost_metrics:
        click.echo(f"Not evaluated, as no plugin here knows it: {', '.join(found.lost_metrics)}", err=True)
    if as_json:
        click.echo(json.dumps(found.metrics, indent=1))
        return
    comparison.write(found, out)
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="dim")
    for column in ("direction", "metric", *found.metrics):
        table.add_column(column, justify="left" if column in ("direction", "metric") else "right")
    for direction, name, values in comparison.rows(found.metrics):
        table.add_row(direction, name, *("" if v is None else f"{v:.4f}" for v in values))
    Console().print(table)
    click.echo(f"Images: {out}")
