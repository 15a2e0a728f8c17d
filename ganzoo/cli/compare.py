"""ganzoo compare"""

from functools import partial
from pathlib import Path

import click

from ganzoo.cli.output import print_table, say, say_json


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("comparison.html"), show_default=True, help="Page."
)
@click.option("--data", default="", metavar="DATA", help="Other images: a folder, a recipe, or a data source.")
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Of a sweep: its table, too.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics for programs, write no page.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(runs: tuple[Path, ...], out: Path, data: str, csv: Path | None, as_json: bool, device: str) -> None:
    """Set runs side by side on the same test images, the first one's: a table here, and one HTML page with the images.

    Where the first is a file of weights alone, --data must say which. Of the folder of a sweep, given alone: the
    metrics of its settings, mean and standard deviation over the seeds, the best ones with a star.
    """
    from ganzoo import comparison, sweep

    if len(runs) == 1 and (runs[0] / sweep.PLAN).is_file():
        _compare_seeds(runs[0], out, csv, as_json)
        return
    found = comparison.compare(runs, device, data, say=partial(say, err=True))
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


def _compare_seeds(folder: Path, out: Path, csv: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from ganzoo import sweep

    table = sweep.summarise(folder)
    if csv:
        sweep.write_csv(table, csv)
    if as_json:
        say_json({d: {m: {s: asdict(x) for s, x in by.items()} for m, by in ms.items()} for d, ms in table.items()})
        return
    sweep.write_page(table, folder, out)
    for direction, metrics in table.items():
        shown = [metric for metric in metrics if not metric.endswith("_identity")]
        settings = dict.fromkeys(setting for metric in shown for setting in metrics[metric])
        rows = [[setting, *(sweep.cell(metric, metrics[metric], setting) for metric in shown)] for setting in settings]
        print_table(["", *shown], rows, f"{direction}, * best", right=shown)
    say(f"Page: {out}")
