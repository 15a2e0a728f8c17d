"""ganzoo bench"""

from functools import partial
from pathlib import Path

import click

from ganzoo.cli.output import bar, say, say_json


@click.command("bench")
@click.argument("path", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Apply the recipe's [quick] table.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. --set data.size=128.")
@click.option("--steps", default=20, show_default=True, type=click.IntRange(min=2), help="Steps to measure.")
@click.option("--device", metavar="D", help="auto, cpu, cuda or mps.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(path: Path, quick: bool, changes: tuple[str, ...], steps: int, device: str | None, as_json: bool) -> None:
    """Measure how fast RECIPE trains here."""
    from ganzoo import bench, recipe
    from ganzoo.data.dataset import open_dataset

    changes += (f"train.device={device}",) if device else ()
    chosen = recipe.read(path, quick, changes)
    dataset = open_dataset(chosen.data, chosen.data_kind, say=partial(say, err=True))
    with bar("measuring") as update:
        found = bench.bench(chosen, dataset, steps, update)
    if as_json:
        say_json(found)
        return
    seconds = found["seconds_per_step"]
    say(f"{found['images_per_s']:.2f} images/s on {found['device']}, {found['threads']} threads")
    say(f"{1000 * seconds:.1f} ms a step, median of {found['steps']}:")
    for name, spent in found["seconds"].items():
        say(f"  {name:10} {1000 * spent:9.1f} ms  {100 * spent / seconds:5.1f} %")
    say(f"memory      {found['memory_gb']:.2f} GiB at most")
    say(f"arithmetic  {found['tflops_per_s']:.3f} TFLOP/s")
