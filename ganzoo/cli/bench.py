"""ganzoo bench"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganzoo.cli.output import bar, print_table, say, say_json

if TYPE_CHECKING:
    from ganzoo.bench import Measured


@click.command("bench")
@click.argument("path", metavar="RECIPE", required=False, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Apply the recipe's [quick] table.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. --set data.size=128.")
@click.option("--steps", default=20, show_default=True, type=click.IntRange(min=2), help="Steps to measure.")
@click.option("--device", metavar="D", help="auto, cpu, cuda or mps.")
@click.option("--fit", is_flag=True, help="Estimate the largest batch and size that fit, too.")
@click.option("--json", "as_json", is_flag=True, help="For programs, and for --compare.")
@click.option(
    "--compare",
    "files",
    nargs=2,
    type=click.Path(path_type=Path),
    metavar="BEFORE AFTER",
    help="Show two measurements, files that --json was written to, and their ratio.",
)
def command(
    path: Path | None,
    quick: bool,
    changes: tuple[str, ...],
    steps: int,
    device: str | None,
    fit: bool,
    as_json: bool,
    files: tuple[Path, Path] | None,
) -> None:
    """Measure how fast RECIPE trains here.

    A bare loop takes turns with it: the same networks and losses, driven by torch alone.
    """
    from ganzoo import bench, recipe
    from ganzoo.data.dataset import open_dataset

    if (path is None) == (files is None):
        raise click.UsageError("Give a RECIPE to measure, or two files with --compare.")
    if files:
        before, after = map(bench.read, files)
        say(f"before: {_what(before)}")
        say(f"after:  {_what(after)}")
        print_table(("", "before", "after", "ratio"), bench.rows(before, after), right=("before", "after", "ratio"))
        return
    assert path
    changes += (f"train.device={device}",) if device else ()
    chosen = recipe.read(path, quick, changes)
    tell = partial(say, err=True)
    dataset = open_dataset(chosen.data, chosen.data_kind, say=tell)
    with bar("measuring") as update:
        found = bench.bench(chosen, dataset, steps, update, tell, fit)
    if as_json:
        say_json(found.model_dump())
        return
    say(_what(found))
    print_table(("", "value"), bench.rows(found), right=("value",))


def _what(found: "Measured") -> str:
    where = f"{found.device}, {found.threads} thread{'s' if found.threads > 1 else ''}, {found.precision}"
    return f"{found.recipe} at {found.size} px, batch {found.batch}, on {where}, {found.steps} steps"
