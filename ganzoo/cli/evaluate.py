"""ganzoo evaluate"""

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Instead of the recipe's; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def evaluate(run: Path, metrics: tuple[str, ...], as_json: bool, device: str) -> None:
    """Measure a trained RUN on its test images.

    Error against the ground truth where the data has it, beside that of the identity baseline; else the
    cycle-consistency error. With labels: how often a classifier, trained on the real images, finds the target label.
    `ganzoo list` shows the metrics; fid and kid compare with the real images of the target and need no ground truth.
    """
    from ganzoo import translate as translation
    from ganzoo.cli.progress import bar
    from ganzoo.data.dataset import open_dataset
    from ganzoo.evaluate import evaluate as measure
    from ganzoo.registry import registry

    translator = translation.load(run, device)
    recipe = translator.recipe
    found = registry()
    chosen = {name: found.load("metric", name)() for name in metrics} or recipe.train.measures()
    if translator.lost_metrics and not metrics:
        click.echo(f"Not measured, as no plugin here knows it: {', '.join(translator.lost_metrics)}", err=True)
    dataset = open_dataset(recipe.data, recipe.data_kind, say=lambda text: click.echo(text, err=True))
    with bar("evaluating") as update:
        figures = measure(translator.trainer, dataset, chosen, update)
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{run} at {translator.images:,} images", title_justify="left", box=None, header_style="dim")
    for column in ("direction", "figure", "made", "the identity baseline"):
        table.add_column(column, justify="left" if column in ("direction", "figure") else "right")
    for direction, values in figures.items():
        for name, value in values.items():
            if not name.endswith("_identity"):
                nothing = values.get(f"{name}_identity")
                table.add_row(direction, name, f"{value:.4f}", "" if nothing is None else f"{nothing:.4f}")
    Console().print(table)
