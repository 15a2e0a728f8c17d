"""ganzoo evaluate"""

from functools import partial
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.output import bar, load, print_table, say, say_json
from ganzoo.errors import GanzooError


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Instead of the recipe's; may be repeated. With options: '{ name = \"kid\", subsets = 10 }'.",
)
@click.option("--data", default="", metavar="DATA", help="Other images: a folder, a recipe, or a data source.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda or mps.")
def command(run: Path, metrics: tuple[str, ...], data: str, as_json: bool, device: str) -> None:
    """Evaluate a trained RUN on its test images. A file of weights alone needs --data.

    Metrics against the ground truth where the data has it, beside those of the identity baseline; else the L1 of cycle
    consistency. With labels: how often a classifier, trained on the real images, finds the target label. `ganzoo list`
    shows the metrics; fid and kid compare with the real images of the target and need no ground truth.
    """
    from ganzoo import evaluation
    from ganzoo.data.dataset import evaluation_data, open_dataset

    translator = load(run, device)
    recipe = translator.recipe
    options = evaluation_data(run, recipe.data, data)
    chosen = dict(map(_metric, metrics)) or recipe.train.build_metrics()
    if translator.lost_metrics and not metrics:
        say(f"Not evaluated, as no plugin here knows it: {', '.join(translator.lost_metrics)}", err=True)
    dataset = open_dataset(options, recipe.data_kind, say=partial(say, err=True))
    with bar("evaluating") as update:
        found = evaluation.evaluate(translator.trainer, dataset, chosen, update)
    if as_json:
        say_json(found)
        return
    rows = [
        (direction, name, f"{value:.4f}", f"{values[other]:.4f}" if (other := f"{name}_identity") in values else "")
        for direction, values in found.items()
        for name, value in values.items()
        if not name.endswith("_identity")
    ]
    columns = ("direction", "metric", "value", "identity baseline")
    print_table(columns, rows, f"{run} at {translator.images:,} images", right=columns[2:])


def _metric(text: str) -> tuple[str, Any]:
    """A metric by its name, or as a table with options, as a recipe writes it."""
    from pydantic import TypeAdapter, ValidationError

    from ganzoo.options import MetricPart
    from ganzoo.recipe import read_toml

    try:
        problem = f"--metric {text[:200]} is not valid TOML"
        given = read_toml(f"metric = {text}", problem)["metric"] if text.startswith("{") else text
        part = TypeAdapter(MetricPart).validate_python(given)
    except ValidationError as error:
        raise GanzooError(f"--metric {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return part.name, part.build()
