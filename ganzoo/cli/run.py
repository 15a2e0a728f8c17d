"""ganzoo run"""

from pathlib import Path

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Apply the recipe's [quick] table: minutes on a laptop, no network.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key, e.g. --set data.size=128.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/NAME-OF-RECIPE]")
@click.option("--resume", is_flag=True, help="Go on from the run folder's last checkpoint.")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe, with every default, and stop.")
@click.option("--device", metavar="D", help="auto, cpu, cuda or mps.")
@click.option("--devices", type=click.IntRange(min=1), metavar="N", help="Processes on this machine, one a device.")
def run(
    recipe: Path,
    quick: bool,
    changes: tuple[str, ...],
    out: Path | None,
    resume: bool,
    dry_run: bool,
    device: str | None,
    devices: int | None,
) -> None:
    """Train what RECIPE says.

    RECIPE is a recipe file or, with --resume, a run folder. A run folder is never overwritten.
    """
    from ganzoo import recipe as recipes

    if (recipe / "recipe.toml").exists():
        out, recipe = out or recipe, recipe / "recipe.toml"
    changes += tuple(f"train.{k}={v}" for k, v in (("device", device), ("devices", devices)) if v is not None)
    chosen = recipes.read(recipe, quick, changes)
    if dry_run:
        click.echo(chosen.to_toml(f"resolved from {recipe}"), nl=False)
        return
    from ganzoo import run as runs
    from ganzoo.cli.screen import make_screen

    screen = make_screen()
    folder = out or Path("runs") / chosen.name
    try:
        runs.run(chosen, folder, screen, resume, changes)
    except runs.Stopped as stopped:
        click.echo(str(stopped), err=True)
        raise click.exceptions.Exit(stopped.exit_code) from None
    screen.done(folder)
